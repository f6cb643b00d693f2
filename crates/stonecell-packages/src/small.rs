//! A few small files at once into memory: the signed Release files, whose size and checksum nothing
//! tells beforehand.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use url::Url;

use crate::download::{Downloader, Stop, TransferError, Watch};
use crate::fetch::CANCEL_INTERVAL;
use crate::http::ConnectionSettings;
use crate::progress::{Event, Progress};

/// What a transfer tells the caller's thread.
enum Message {
    Retry { item: usize, reason: String },
    Finished { item: usize, result: Result<Vec<u8>, TransferError> },
}

/// Fetches every item (name and address), in parallel, in the order given. No file may have more than
/// `limit` bytes. The error comes with the name of the item.
pub(crate) fn fetch_small(
    items: &[(String, Url)],
    limit: u64,
    settings: &ConnectionSettings,
    progress: &dyn Progress,
    cancel: &AtomicBool,
) -> Result<Vec<Vec<u8>>, (String, TransferError)> {
    let name = |item: usize| items.get(item).map_or("", |(name, _)| name.as_str());
    let downloader =
        Downloader::new(settings).map_err(|error| (name(0).to_owned(), error.into()))?;
    let stop = Arc::new(Stop::default());
    let (sender, receiver) = mpsc::channel();
    for (item, (_, url)) in items.iter().enumerate() {
        let (downloader, url, stop) = (downloader.clone(), url.clone(), Arc::clone(&stop));
        let watch = Retries { item, sender: Mutex::new(sender.clone()) };
        thread::spawn(move || {
            let result = downloader.small(&url, limit, &stop, &watch);
            watch.send(Message::Finished { item, result });
        });
    }
    drop(sender);
    let mut contents = vec![Vec::new(); items.len()];
    let mut waiting = items.len();
    let failed = loop {
        if waiting == 0 {
            return Ok(contents);
        }
        if cancel.load(Ordering::Relaxed) {
            break (String::from("(any)"), TransferError::Cancelled);
        }
        match receiver.recv_timeout(CANCEL_INTERVAL) {
            Ok(Message::Retry { item, reason }) => {
                progress.report(Event::Retry { item: name(item), reason: &reason });
            }
            Ok(Message::Finished { item, result: Ok(content) }) => {
                waiting -= 1;
                if let Some(slot) = contents.get_mut(item) {
                    *slot = content;
                }
            }
            Ok(Message::Finished { item, result: Err(error) }) => {
                break (name(item).to_owned(), error);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                break (String::from("(any)"), TransferError::Thread);
            }
        }
    };
    stop.stop();
    downloader.client.shut_down();
    Err(failed)
}

/// Passes on that a transfer is tried again.
struct Retries {
    item: usize,
    sender: Mutex<Sender<Message>>,
}

impl Retries {
    fn send(&self, message: Message) {
        // A caller that was cancelled does not listen any more; there is nobody left to tell.
        let _ = self.sender.lock().unwrap_or_else(PoisonError::into_inner).send(message);
    }
}

impl Watch for Retries {
    fn bytes(&self, _done: u64) {}

    fn retry(&self, reason: &str) {
        self.send(Message::Retry { item: self.item, reason: reason.to_owned() });
    }
}
