//! Connections, as many at once as there may be.

use std::{
    future::poll_fn,
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::Semaphore;

/// Connections of one listener at once.
const CONNECTIONS: usize = 64;
/// Where none can be accepted (out of descriptors, for example), it may pass.
const AGAIN: Duration = Duration::from_millis(100);

/// Accepts connections for ever and serves each in a task of its own; beyond [`CONNECTIONS`] the next waits until one has ended.
pub(super) async fn each_connection<S, F: Future<Output = ()> + Send + 'static>(
    mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<S>>,
    serve: impl Fn(S) -> F,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok(stream) = poll_fn(&mut accept).await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let served = serve(stream);
        tokio::spawn(async move {
            served.await;
            drop(place);
        });
    }
}
