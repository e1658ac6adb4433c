//! Prints `docs/language.md`.

fn main() {
    print!("{}", probity_script::reference());
}
