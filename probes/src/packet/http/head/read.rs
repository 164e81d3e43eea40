//! Heads of HTTP/1, taken apart by httparse.

/// More are not HTTP.
pub(super) const MAX_HEADERS: usize = 512;

/// What the first line says.
#[derive(Clone, Copy)]
pub(super) enum Said<'a> {
    Request { method: &'a str, target: &'a str, version: u8 },
    Response { status: u16, phrase: &'a [u8], version: u8 },
}

/// Takes apart the head that `bytes` begin with. Says what `of` made of it, and where it ends; None: it is not whole, or not well-formed.
pub(super) fn read<T>(bytes: &[u8], of: impl FnOnce(&Said<'_>, &[httparse::Header<'_>]) -> T) -> Option<(T, usize)> {
    let mut headers = [const { std::mem::MaybeUninit::uninit() }; MAX_HEADERS];
    if bytes.starts_with(b"HTTP/") {
        let mut config = httparse::ParserConfig::default();
        config.allow_spaces_after_header_name_in_responses(true);
        config.allow_obsolete_multiline_headers_in_responses(true);
        config.ignore_invalid_headers_in_responses(true);
        let mut response = httparse::Response::new(&mut []);
        let parsed = config.parse_response_with_uninit_headers(&mut response, bytes, &mut headers);
        let httparse::Status::Complete(end) = parsed.ok()? else { return None };
        let phrase = match response.reason.unwrap_or_default() {
            "" => phrase(bytes),
            phrase => phrase.as_bytes(),
        };
        let said = Said::Response { status: response.code?, phrase, version: response.version.unwrap_or(1) };
        return Some((of(&said, response.headers), end));
    }
    let mut config = httparse::ParserConfig::default();
    config.ignore_invalid_headers_in_requests(true);
    config.allow_multiple_spaces_in_request_line_delimiters(true);
    let mut request = httparse::Request::new(&mut []);
    let parsed = config.parse_request_with_uninit_headers(&mut request, bytes, &mut headers);
    let httparse::Status::Complete(end) = parsed.ok()? else { return None };
    let (method, target) = (request.method?, request.path?);
    let said = Said::Request { method, target, version: request.version.unwrap_or(1) };
    Some((of(&said, request.headers), end))
}

/// What follows the status code. With bytes above 0x7f (RFC 9112, section 4 has them as `obs-text`) the parser gives none.
fn phrase(bytes: &[u8]) -> &[u8] {
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    line.splitn(3, |&byte| byte == b' ').nth(2).unwrap_or_default().trim_ascii_end()
}
