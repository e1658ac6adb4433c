//! Builtins that are written in the language itself: macros behind a script that names one of them.
//!
//! **Invariant:** a script that names none is not longer for it.

use crate::files::File;

/// From the working directory up to the root of what is mounted, and on where that is mounted.
const PATHS: &str = r#"
macro __abs_path(name, most) {
    let $path : string[256];
    $path = name;
    if (strncmp($path, "/", 1) != 0) {
        $fs = curtask->fs;
        $at = $fs->pwd.dentry;
        $mount = container_of($fs->pwd.mnt, struct mount, mnt);
        for ($step : 0..most) {
            if ($at == $mount->mnt.mnt_root) {
                if ($mount == $mount->mnt_parent) { break; }
                $at = $mount->mnt_mountpoint;
                $mount = $mount->mnt_parent;
            } else {
                if ($path != "") { $path = str_concat("/", $path); }
                $path = str_concat(str($at->d_name.name, 256), $path);
                $at = $at->d_parent;
            }
        }
        $path = str_concat("/", $path);
    }
    $path
}
macro __abs_path_32(name) { __abs_path(name, 32) }
macro __cwd() { __abs_path("", 32) }
"#;

/// What a script needs of it.
pub fn needed(script: &str) -> Option<File> {
    let wanted = script.contains("abs_path") || script.contains("cwd");
    wanted.then(|| File {
        name: "built in".into(),
        text: PATHS.into(),
    })
}
