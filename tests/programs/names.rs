//! Names and parameters of Rust.
pub struct Pair {
    pub a: i32,
    pub b: u64,
    pub s: &'static str,
}
pub mod inner {
    #[inline(never)]
    pub fn work(x: u32) -> u32 {
        std::hint::black_box(x) + 1
    }
    #[inline(never)]
    pub fn made<T: Into<u64>>(t: T) -> u64 {
        std::hint::black_box(t.into())
    }
    /// The compiler leaves out what isn't used.
    #[inline(never)]
    pub fn texts(s: &str, v: &[u32], p: &super::Pair) -> usize {
        std::hint::black_box(s.len() + v.len() + p.a as usize)
    }
    #[inline(never)]
    pub fn whole(s: &str, n: u16, p: &super::Pair) -> usize {
        std::hint::black_box((s, n, p));
        s.len()
    }
    #[inline(never)]
    pub fn perhaps(n: Option<u32>, w: Option<u64>) -> bool {
        std::hint::black_box((n, w)).0.is_some()
    }
}

fn main() {
    // On the stack, and touched.
    let text = String::from("hello");
    let pair = Pair { a: std::hint::black_box(7), b: 8, s: "x" };
    let sum = inner::work(3) as u64 + inner::made(4u32) + inner::made(5u8);
    let more = inner::texts(&text, &[1, 2, 3], &pair) + inner::whole(&text, 9, &pair);
    let some = inner::perhaps(Some(3), std::hint::black_box(None));
    println!("{sum} {more} {some}");
}
