use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The fixture, in a folder of its own.
pub(crate) struct Shop(PathBuf);

impl Shop {
    pub(crate) fn copied_to(name: &str) -> Self {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let to = built_in().join(name);
        let _ = fs::remove_dir_all(&to);
        let ploomby = tests.join("../ploomby").canonicalize().expect("ploomby");
        let ploomby = ploomby.to_str().expect("a path");
        let handlers = tests.join("fixtures/handlers");
        copy(&handlers, &to, &|text| text.replace("PLOOMBY", ploomby));
        let cases = to.join("cases/ui");
        copy(&tests.join("tests/ui"), &cases, &|text| text);
        let manifest = to.join("cases/Cargo.toml");
        let text = fs::read_to_string(&manifest).expect("the cases' manifest");
        let bins = files(&cases.join("pass")).into_iter().map(|case| {
            let name = case.file_stem().and_then(|name| name.to_str());
            let name = name.expect("a name");
            format!("\n[[bin]]\nname = \"{name}\"\npath = \"ui/pass/{name}.rs\"\n")
        });
        fs::write(&manifest, text + &bins.collect::<String>()).expect("a manifest");
        // the versions that are tested, which are there already
        fs::copy(tests.join("../Cargo.lock"), to.join("Cargo.lock")).expect("the versions");
        Self(to)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// What cargo prints, once it has done its work.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> String {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = self.command(cargo).args(arguments).output().expect("cargo");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo {arguments:?}: {error}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// A program in this workspace, which builds into a folder that all tests of the fixture share.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.0)
            .env("CARGO_NET_OFFLINE", "true")
            .env("CARGO_TARGET_DIR", built_in().join("target"))
            .env_remove("RUSTFLAGS");
        command
    }

    /// What was built under this name.
    pub(crate) fn built(name: &str) -> PathBuf {
        built_in().join("target/debug").join(name)
    }

    /// Changes what these crates have in Rust.
    pub(crate) fn change(&self, crates: &[&str], change: impl Fn(String) -> String) {
        let is_of_them = |file: &Path| crates.iter().any(|name| file.starts_with(self.path(name)));
        for (file, text) in self.text() {
            if is_of_them(&file) {
                fs::write(file, change(text)).expect("a file");
            }
        }
    }

    /// All that is written in Rust.
    pub(crate) fn text(&self) -> BTreeMap<PathBuf, String> {
        let mut texts = BTreeMap::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            for path in files(&folder) {
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "rs") {
                    let text = fs::read_to_string(&path).expect("text");
                    texts.insert(path, text);
                }
            }
        }
        texts
    }

    /// The number of the first line that has this text.
    pub(crate) fn line(&self, file: &str, text: &str) -> usize {
        let source = fs::read_to_string(self.path(file)).expect("a file");
        let mut lines = source.lines();
        lines.position(|line| line.contains(text)).expect("a line") + 1
    }

    /// The lines of a file whose runs the program counts.
    pub(crate) fn counted_lines(file: &str) -> BTreeSet<usize> {
        let built = files(&built_in().join("target/debug/deps"));
        let mir = built.into_iter().filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with("shop-") && name.ends_with(".mir"))
        });
        let newest = mir.max_by_key(|path| fs::metadata(path).and_then(|of| of.modified()).ok());
        let mir = fs::read_to_string(newest.expect("the program's code")).expect("text");
        // coverage Code { bcb: bcb0 } => shop/src/main.rs:15:1: 15:17;
        let counted = mir.lines().filter(|line| line.contains("coverage"));
        let places = counted.filter_map(|line| line.split_once(&format!("{file}:")));
        let starts = places.filter_map(|(_, place)| place.split(':').next()?.parse().ok());
        starts.collect()
    }
}

fn built_in() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("handler-tools")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).expect("a folder");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files
}

fn copy(from: &Path, to: &Path, change: &dyn Fn(String) -> String) {
    fs::create_dir_all(to).expect("a folder");
    for from in files(from) {
        let to = to.join(from.file_name().expect("a name"));
        if from.is_dir() {
            copy(&from, &to, change);
        } else {
            let text = fs::read_to_string(from).expect("text");
            fs::write(to, change(text)).expect("a copy");
        }
    }
}
