use std::{
    cell::{Cell, RefCell},
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::shop::Shop;

const DEADLINE: Duration = Duration::from_secs(240);

/// rust-analyzer, as an editor talks to it.
pub(crate) struct Editor {
    root: PathBuf,
    child: RefCell<Child>,
    input: RefCell<ChildStdin>,
    messages: Receiver<Value>,
    requests: Cell<u64>,
}

impl Editor {
    /// Opens the fixture, and waits until all of it is read.
    pub(crate) fn open(shop: &Shop) -> Self {
        let mut child = shop
            .command("rust-analyzer")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("rust-analyzer");
        let input = child.stdin.take().expect("its input");
        let output = child.stdout.take().expect("its output");
        let (sender, messages) = mpsc::channel();
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            while let Some(message) = read(&mut output) {
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let editor = Self {
            root: shop.path("").canonicalize().expect("the fixture"),
            child: RefCell::new(child),
            input: RefCell::new(input),
            messages,
            requests: Cell::new(0),
        };
        editor.start();
        editor
    }

    fn start(&self) {
        let options = json!({
            "checkOnSave": false,
            "cachePriming": {"enable": false},
            "procMacro": {"enable": true},
        });
        let capabilities = json!({
            "experimental": {"serverStatusNotification": true},
            "textDocument": {"hover": {"contentFormat": ["markdown"]}},
        });
        let root = self.uri("");
        self.ask(
            "initialize",
            &json!({
                "processId": std::process::id(),
                "rootUri": root,
                "workspaceFolders": [{"uri": root, "name": "shop"}],
                "initializationOptions": options,
                "capabilities": capabilities,
            }),
        );
        self.tell("initialized", &json!({}));
        loop {
            let message = self.next();
            let status = &message["params"];
            if message["method"] == "experimental/serverStatus" && status["quiescent"] == true {
                // it warns where the source of `std` needs crates that this machine does not have
                assert_ne!(status["health"], "error", "{status}");
                return;
            }
        }
    }

    /// The file and the line of each place that the name at this one is defined.
    pub(crate) fn definitions(
        &self,
        file: &str,
        text: &str,
        offset: usize,
    ) -> Vec<(String, usize)> {
        let found = self.ask("textDocument/definition", &self.place(file, text, offset));
        let found = found.as_array().cloned().unwrap_or_default();
        let root = self.uri("");
        let target = |target: &Value| {
            let uri = target["uri"].as_str().expect("a file").to_owned();
            let file = uri
                .strip_prefix(&root)
                .map_or_else(|| uri.clone(), str::to_owned);
            let line = target["range"]["start"]["line"].as_u64().expect("a line");
            (file, usize::try_from(line).expect("a small file") + 1)
        };
        found.iter().map(target).collect()
    }

    pub(crate) fn hover(&self, file: &str, text: &str, offset: usize) -> String {
        let found = self.ask("textDocument/hover", &self.place(file, text, offset));
        found["contents"]["value"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// What the macro at this place writes.
    pub(crate) fn expansion(&self, file: &str, text: &str, offset: usize) -> String {
        let found = self.ask("rust-analyzer/expandMacro", &self.place(file, text, offset));
        found["expansion"].as_str().unwrap_or_default().to_owned()
    }

    fn place(&self, file: &str, text: &str, offset: usize) -> Value {
        let before = &text[..offset];
        let line = before.matches('\n').count();
        // of ASCII
        let column = before.len() - before.rfind('\n').map_or(0, |end| end + 1);
        json!({
            "textDocument": {"uri": self.uri(file)},
            "position": {"line": line, "character": column},
        })
    }

    fn uri(&self, file: &str) -> String {
        format!("file://{}/{file}", self.root.display())
    }

    fn ask(&self, method: &str, parameters: &Value) -> Value {
        let id = self.requests.get() + 1;
        self.requests.set(id);
        self.send(json!({"id": id, "method": method, "params": parameters}));
        loop {
            let message = self.next();
            if message["id"] == id && message.get("method").is_none() {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
        }
    }

    fn tell(&self, method: &str, parameters: &Value) {
        self.send(json!({"method": method, "params": parameters}));
    }

    /// The next message. What rust-analyzer asks is answered with nothing, which is what it takes for its defaults.
    fn next(&self) -> Value {
        let message = match self.messages.recv_timeout(DEADLINE) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => panic!("rust-analyzer says nothing"),
            Err(RecvTimeoutError::Disconnected) => panic!("rust-analyzer ended"),
        };
        if message.get("method").is_some() && message.get("id").is_some() {
            self.send(json!({"id": message["id"], "result": null}));
        }
        message
    }

    fn send(&self, mut message: Value) {
        message["jsonrpc"] = json!("2.0");
        let text = message.to_string();
        let mut input = self.input.borrow_mut();
        write!(input, "Content-Length: {}\r\n\r\n{text}", text.len()).expect("its input");
        input.flush().expect("its input");
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        let mut child = self.child.borrow_mut();
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn read(output: &mut BufReader<ChildStdout>) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut header = String::new();
        if output.read_line(&mut header).ok()? == 0 {
            return None;
        }
        match header.trim().split_once(": ") {
            Some(("Content-Length", number)) => length = number.parse().ok()?,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    output.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}
