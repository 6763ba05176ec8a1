//! The threads of the build with shared memory: rayon's, each in a worker of its own, which the scripts start
//! (`site/easel/threads.js`). The order of events is that of wasm-bindgen-rayon
//! (<https://github.com/RReverser/wasm-bindgen-rayon>); its own script is no file that bundlers or strict policies allow.

use rayon::{ThreadBuilder, ThreadPoolBuilder};
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{LazyLock, Mutex};
use wasm_bindgen::prelude::*;

/// Rayon's threads on their way to the workers that wait for one. All workers share this memory.
static THREADS: LazyLock<Threads> = LazyLock::new(|| {
    let (sender, receiver) = channel();
    Threads { sender, receiver: Mutex::new(receiver) }
});

struct Threads {
    sender: Sender<ThreadBuilder>,
    receiver: Mutex<Receiver<ThreadBuilder>>,
}

/// The compiled module, for the workers of the threads.
#[wasm_bindgen(js_name = sharedModule)]
pub fn shared_module() -> JsValue {
    wasm_bindgen::module()
}

/// The memory that all of them share.
#[wasm_bindgen(js_name = sharedMemory)]
pub fn shared_memory() -> JsValue {
    wasm_bindgen::memory()
}

/// Starts this many threads. As many workers must have this module and be about to call [`run_thread`].
#[wasm_bindgen(js_name = startThreads)]
pub fn start_threads(count: usize) -> Result<(), JsError> {
    ThreadPoolBuilder::new().num_threads(count).spawn_handler(hand_over).build_global().map_err(JsError::from)
}

fn hand_over(thread: ThreadBuilder) -> io::Result<()> {
    THREADS.sender.send(thread).map_err(|error| io::Error::other(error.to_string()))
}

/// Waits for a thread and runs it, for as long as the worker lives.
#[wasm_bindgen(js_name = runThread)]
pub fn run_thread() -> Result<(), JsError> {
    let next = THREADS.receiver.lock().map_err(|_| JsError::new("another thread failed to start"))?.recv();
    next?.run();
    Ok(())
}
