//! Strings in the code of RFC 7541, appendix B.

use super::Malformed;
use super::tables::CODE_BITS;

const SHORTEST: usize = 5;
const LONGEST: usize = 30;
const END_OF_STRING: u16 = 256;

/// For each length: the first code (left-aligned in 32 bits), where codes of the next length begin, and where its symbols lie.
struct Codes {
    first: [u32; LONGEST + 1],
    end: [u64; LONGEST + 1],
    at: [u16; LONGEST + 1],
    symbols: [u16; 257],
}

static CODES: Codes = codes();

const fn codes() -> Codes {
    let mut codes = Codes { first: [0; LONGEST + 1], end: [0; LONGEST + 1], at: [0; LONGEST + 1], symbols: [0; 257] };
    let (mut next, mut count, mut bits) = (0_u64, 0_usize, SHORTEST);
    while bits <= LONGEST {
        codes.first[bits] = next as u32;
        codes.at[bits] = count as u16;
        let mut symbol = 0;
        while symbol < CODE_BITS.len() {
            if CODE_BITS[symbol] as usize == bits {
                codes.symbols[count] = symbol as u16;
                count += 1;
                next += 1 << (32 - bits);
            }
            symbol += 1;
        }
        codes.end[bits] = next;
        bits += 1;
    }
    codes
}

/// The symbol at the top of `window`, and its length in bits.
fn symbol(window: u32) -> (u16, u32) {
    let mut bits = SHORTEST;
    while bits < LONGEST && u64::from(window) >= CODES.end[bits] {
        bits += 1;
    }
    let nth = (window - CODES.first[bits]) >> (32 - bits);
    let at = CODES.at[bits] as usize + nth as usize;
    (CODES.symbols.get(at).copied().unwrap_or(END_OF_STRING), bits as u32)
}

/// Appends the decoded string.
pub(super) fn decode(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut rest = bytes.iter();
    let (mut held, mut have) = (0_u64, 0_u32);
    loop {
        while have <= 32
            && let Some(&byte) = rest.next()
        {
            held = held << 8 | u64::from(byte);
            have += 8;
        }
        if have == 0 {
            return Ok(());
        }
        // Past the end of the string the window is filled with ones.
        let window =
            if have >= 32 { (held >> (have - 32)) as u32 } else { (held << (32 - have)) as u32 | u32::MAX >> have };
        let (symbol, bits) = symbol(window);
        if bits > have || symbol == END_OF_STRING {
            // Padding: less than a byte, of ones.
            let padded = have < 8 && window == u32::MAX;
            return if padded { Ok(()) } else { Err(Malformed) };
        }
        out.push(symbol as u8);
        have -= bits;
        held &= (1 << have) - 1;
    }
}
