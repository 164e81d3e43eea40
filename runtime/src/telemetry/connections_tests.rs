use super::*;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(20);

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(test);
}

async fn placed(places: &Arc<Places>) -> Arc<Place> {
    places.ask().expect("few wait").place(LONG).await.unwrap_or_else(|_| panic!("no place"))
}

/// What a server does with its place: it goes when it is told to.
async fn leaves(place: Arc<Place>) {
    place.told().await;
}

#[test]
fn whoever_is_idle_for_longest_makes_room() {
    run(async {
        let places = Places::new(2);
        let (first, second) = (placed(&places).await, placed(&places).await);
        drop(first.busy());
        assert!(!first.is_told() && !second.is_told(), "nobody wants a place");
        let third = places.ask().expect("few wait");
        assert!(second.is_told() && !first.is_told());
        tokio::spawn(leaves(second));
        let third = third.place(LONG).await.unwrap_or_else(|_| panic!("no place"));
        // Those that are being answered stay.
        let busy = (first.busy(), third.busy());
        let fourth = places.ask().expect("few wait").place(SHORT).await.err().expect("none is idle");
        assert!(!first.is_told() && !third.is_told());
        drop(fourth);
        // The first that has been answered leaves, if somebody waits by then.
        let fifth = places.ask().expect("few wait");
        drop(busy);
        assert!(first.is_told() != third.is_told());
        let (gone, stays) = if first.is_told() { (first, third) } else { (third, first) };
        tokio::spawn(leaves(gone));
        let fifth = fifth.place(LONG).await.unwrap_or_else(|_| panic!("no place"));
        assert!(!stays.is_told() && !fifth.is_told());
    });
}

#[test]
fn as_many_wait_as_may() {
    run(async {
        let places = Places::new(1);
        let place = placed(&places).await;
        let busy = place.busy();
        let waiting: Vec<_> = (0..WAITING).map_while(|_| places.ask()).collect();
        assert_eq!(waiting.len(), WAITING);
        assert!(places.ask().is_none());
        drop(waiting);
        assert!(places.ask().is_some());
        drop(busy);
        assert!(!place.is_told(), "they have gone");
    });
}

/// One that has just got its place may speak before it must leave; then it must, if somebody waits still.
#[test]
fn silent_ones_leave_in_the_end() {
    run(async {
        let places = Places::new(1);
        let first = placed(&places).await;
        let busy = first.busy();
        let (second, third) = (places.ask().expect("few wait"), places.ask().expect("few wait"));
        drop(busy);
        tokio::spawn(leaves(first));
        let second = second.place(LONG).await.unwrap_or_else(|_| panic!("no place"));
        assert!(!second.is_told());
        tokio::spawn(leaves(second));
        assert!(third.place(LONG).await.is_ok());
    });
}
