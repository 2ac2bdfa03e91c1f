//! The corpus, and the seeded hand that makes other inputs of it.

use std::path::Path;
use std::{env, fs};

/// How many inputs are made of each file, unless `LEASEHOLD_FUZZ_ROUNDS` says otherwise.
const ROUNDS: usize = 200;
/// What they are made by, unless `LEASEHOLD_FUZZ_SEED` says otherwise.
const SEED: u64 = 6;
/// The longest input, in bytes.
const BYTES_MAX: usize = 1 << 16;
/// What has a meaning to one reader or another.
const PIECES: [&[u8]; 42] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"/",
    b"//",
    b"../",
    b"%2f",
    b"%00",
    b"%",
    b"*",
    b"+",
    b"=",
    b",",
    b":",
    b"$",
    b"{{",
    b"}}",
    b"|",
    b"\0",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b"#",
    b"/*",
    b"<<EOF\n",
    b"0",
    b"-1",
    b"18446744073709551616",
    b"1e999",
    b"h",
    b"::",
    b"null",
    b"true",
    "é".as_bytes(),
    b"\xff\xfe",
    b"path \"a\" {",
];

/// What is read of the corpus, and what becomes of it.
pub(crate) struct Hand {
    files: Vec<Vec<u8>>,
    chance: fastrand::Rng,
    rounds: usize,
}

impl Hand {
    /// Takes the corpus of a reader.
    pub(crate) fn of(reader: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(reader);
        let mut paths: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "{} is empty", folder.display());
        let files = paths.iter().map(|path| fs::read(path).unwrap()).collect();
        let set = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
        let rounds =
            set("LEASEHOLD_FUZZ_ROUNDS").map_or(ROUNDS, |rounds| rounds.try_into().unwrap());
        let chance = fastrand::Rng::with_seed(set("LEASEHOLD_FUZZ_SEED").unwrap_or(SEED));
        Self { files, chance, rounds }
    }

    /// The same with this share of the rounds, for a reader that is slow to ask.
    pub(crate) fn slower(self, share: usize) -> Self {
        Self { rounds: self.rounds.div_ceil(share), ..self }
    }

    /// Returns the files as they are, and then what is made of them.
    pub(crate) fn inputs(mut self) -> impl Iterator<Item = Vec<u8>> {
        let made = self.files.len() * self.rounds;
        let files = self.files.clone();
        files.into_iter().chain((0..made).map(move |_| self.make()))
    }

    fn make(&mut self) -> Vec<u8> {
        let mut input = self.any_file();
        for _ in 0..=self.chance.usize(..6) {
            let at = self.chance.usize(..=input.len());
            let to = at + self.chance.usize(..=(input.len() - at).min(40));
            match self.chance.u8(..8) {
                0 => drop(input.drain(at..to)),
                1 => input.truncate(at),
                2 => {
                    if let Some(byte) = input.get_mut(at) {
                        *byte ^= 1 << self.chance.u8(..8);
                    }
                }
                3 => {
                    let times = self.chance.usize(1..200);
                    let piece = input[at..to].repeat(times);
                    drop(input.splice(at..at, piece));
                }
                4 => {
                    let other = self.any_file();
                    let from = self.chance.usize(..=other.len());
                    drop(input.splice(at..to, other[from..].iter().copied()));
                }
                _ => {
                    let piece = PIECES[self.chance.usize(..PIECES.len())];
                    drop(input.splice(at..to, piece.iter().copied()));
                }
            }
            input.truncate(BYTES_MAX);
        }
        input
    }

    fn any_file(&mut self) -> Vec<u8> {
        self.files[self.chance.usize(..self.files.len())].clone()
    }
}
