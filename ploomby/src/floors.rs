//! The modules stand on floors: this reads what each of them imports, and the order in `lib.rs`.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// Hands names on to generated code, from all floors; the chapters, which are no code; and this very file.
const APART: [&str; 3] = ["__private", "chapters", "floors"];

#[test]
fn each_module_uses_only_those_below_it() {
    let house = House::read();
    let mut upward = Vec::new();
    for file in &house.files {
        let from = file.module();
        let Some(floor) = house.floor(from) else {
            continue;
        };
        for name in file.names_from_the_root() {
            let used = house.exported.get(&name).unwrap_or(&name);
            match house.floor(used) {
                Some(other) if other < floor => upward.push(format!(
                    "{}: `crate::{name}` is of `{used}`, which stands above `{from}`",
                    file.path.display()
                )),
                Some(_) => {}
                None => upward.push(format!(
                    "{}: `crate::{name}` is of no module in the order of `lib.rs`",
                    file.path.display()
                )),
            }
        }
    }
    assert!(
        upward.is_empty(),
        "a module uses only those below it in `lib.rs`. Move what is used to the lower of the two or below \
         both, or hand it over as an argument:\n{}",
        upward.join("\n")
    );
}

#[test]
fn the_layout_lists_the_modules_in_their_order() {
    let house = House::read();
    let layout = house
        .lib
        .lines()
        .filter_map(|line| line.strip_prefix("//! - "));
    let listed: Vec<_> = layout
        .filter_map(|line| Some(line.split_once(':')?.0))
        .flat_map(|names| names.split(", "))
        .map(|name| name.trim_matches('`').to_owned())
        .collect();
    assert_eq!(listed, house.floors);
}

#[test]
fn one_file_outside_of_rabbit_knows_the_client_library() {
    let house = House::read();
    let knows = house.files.iter().filter(|file| {
        let is_apart = APART.contains(&file.module()) || file.module() == "rabbit";
        !is_apart && file.code().contains("amqprs")
    });
    let knows: Vec<_> = knows.map(|file| file.path.as_path()).collect();
    assert_eq!(
        knows,
        [Path::new("message/wire.rs")],
        "what is the client library's stands in `rabbit`, or in `message/wire` if others need it"
    );
}

#[test]
fn an_import_is_found_however_it_is_written() {
    let text = "use crate::{\n    handler::{Route, Table},\n    settle::Failure,\n};\n\
                // crate::nobody\nfn f(_: crate::Reason) -> $crate::key::Key {}\nuse super::app;";
    let file = File {
        path: PathBuf::from("delivery.rs"),
        text: text.to_owned(),
    };
    let names: Vec<_> = file.names_from_the_root();
    assert_eq!(names, ["handler", "settle", "Reason", "key", "app"]);
}

struct House {
    lib: String,
    /// From the top down.
    floors: Vec<String>,
    /// The module of each name that the root exports.
    exported: HashMap<String, String>,
    files: Vec<File>,
}

struct File {
    /// From the root of the sources.
    path: PathBuf,
    text: String,
}

impl House {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        read_all(&root, &root, &mut files);
        let is_lib = |file: &File| file.path == Path::new("lib.rs");
        let lib = files.iter().position(is_lib).expect("`lib.rs` is there");
        let lib = files.swap_remove(lib).text;
        let modules = lib.lines().filter_map(|line| {
            let line = line.strip_prefix("pub ").unwrap_or(line);
            line.strip_prefix("mod ")?.strip_suffix(';')
        });
        let floors = modules.filter(|module| !APART.contains(module));
        Self {
            floors: floors.map(str::to_owned).collect(),
            exported: exported(&lib),
            files,
            lib,
        }
    }

    fn floor(&self, module: &str) -> Option<usize> {
        self.floors.iter().position(|floor| floor == module)
    }
}

impl File {
    /// The top-level module that it is of.
    fn module(&self) -> &str {
        let first = self.path.components().next();
        let name = first.and_then(|first| first.as_os_str().to_str());
        name.expect("a path of UTF-8").trim_end_matches(".rs")
    }

    /// The text without comments that have lines of their own.
    fn code(&self) -> String {
        let lines = self.text.lines();
        let code = lines.filter(|line| !line.trim_start().starts_with("//"));
        code.map(|line| format!("{line}\n")).collect()
    }

    /// What stands behind `crate::`, and behind as many `super::` as lead to the root.
    fn names_from_the_root(&self) -> Vec<String> {
        let to_the_root = "super::".repeat(self.path.components().count());
        let mut names = Vec::new();
        let code = self.code();
        for part in code.split("crate::").skip(1) {
            names.extend(first_names(part));
        }
        for part in code.split(&format!("\nuse {to_the_root}")).skip(1) {
            if !part.starts_with("super::") {
                names.extend(first_names(part));
            }
        }
        names
    }
}

/// The first name of a path, or of each path in a list.
fn first_names(path: &str) -> Vec<String> {
    let Some(list) = path.strip_prefix('{') else {
        return name_at(path).into_iter().collect();
    };
    let (mut names, mut depth, mut is_first) = (Vec::new(), 0, true);
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => is_first = true,
            character if is_first && !character.is_whitespace() => {
                is_first = false;
                names.extend(name_at(&list[at..]));
            }
            _ => {}
        }
    }
    names
}

fn name_at(text: &str) -> Option<String> {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    let name: String = text
        .chars()
        .take_while(|&character| is_name(character))
        .collect();
    (!name.is_empty()).then_some(name)
}

/// What `pub use self::{…}` of the root exports.
fn exported(lib: &str) -> HashMap<String, String> {
    let (_, list) = lib.split_once("pub use self::{").expect("the root exports");
    let (list, _) = list.split_once("};").expect("the list has an end");
    let mut exported = HashMap::new();
    let mut module = "";
    for word in list.split(|character: char| !character.is_alphanumeric() && character != '_') {
        match word.chars().next() {
            None => {}
            Some(first) if first.is_lowercase() && word != "run" => module = word,
            Some(_) => {
                exported.insert(word.to_owned(), module.to_owned());
            }
        }
    }
    exported
}

fn read_all(root: &Path, folder: &Path, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("the sources are there").path();
        if path.is_dir() {
            read_all(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("text");
            let path = path.strip_prefix(root).expect("below the root").to_owned();
            files.push(File { path, text });
        }
    }
}
