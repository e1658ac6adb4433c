//! Scripts as tests read them: what they import lies in `programs/scripts`.

use probity_script::{Diagnostics, Environment, File, Files, Found, Script};

/// Parses and compiles a script.
///
/// # Errors
/// Everything found wrong, each with its place.
pub fn compile(text: &str, name: &str, env: &Environment<'_>) -> Result<Script, Diagnostics> {
    let find = |wanted: &str| {
        let scripts = probity_tests::root().join("programs/scripts");
        let places = [scripts.join(wanted), scripts.join("functions").join(wanted)];
        let path = places.into_iter().find(|p| p.is_file())?;
        let bytes = std::fs::read(&path).ok()?;
        let name = path.display().to_string();
        match wanted.ends_with(".o") {
            true => Some(Found::Object(name, Ok(bytes.into()))),
            false => {
                let text = String::from_utf8(bytes).ok()?;
                Some(Found::Text(File { name, text }))
            }
        }
    };
    let files = Files::gather(text, name, &[], &find);
    probity_script::compile(&probity_script::parse_files(&files)?, env)
}
