use std::{future::Future, sync::Arc, time::Duration};

use futures::future::join_all;

use super::{Candidate, Member};
use crate::types::{ClusterName, FailureClass};

/// One member's part of a fan-out whose answers are read into memory.
pub struct Ask<F> {
    cluster: ClusterName,
    deadline: Option<Duration>,
    /// `None` when it is skipped.
    member: Option<Arc<dyn Member>>,
    /// `Err` when it is skipped.
    answer: Result<F, FailureClass>,
}

/// What each member answered, in the order in which they were named.
pub type Answers<T> = Vec<(ClusterName, Result<T, FailureClass>)>;

// === impl Ask ===

impl<T, F: Future<Output = Result<T, FailureClass>>> Ask<F> {
    /// Prepares what `ask` sends to a candidate, and how it reads the answer.
    ///
    /// `deadline` is the longest wait for all of it; `None` leaves that to the limits of the connection.
    pub fn new(
        candidate: Candidate,
        deadline: Option<Duration>,
        ask: impl FnOnce(Arc<dyn Member>) -> F,
    ) -> Self {
        let cluster = candidate.name().clone();
        let (member, answer) = match candidate {
            Candidate::Send(member) => (Some(Arc::clone(&member)), Ok(ask(member))),
            Candidate::Skip(_, failure) => (None, Err(failure)),
        };
        Self { cluster, deadline, member, answer }
    }

    async fn run(
        self,
        on_answer: impl Fn(&ClusterName, &Result<T, FailureClass>),
    ) -> (ClusterName, Result<T, FailureClass>) {
        let answer = match (self.answer, self.deadline) {
            (Err(failure), _) => return (self.cluster, Err(failure)),
            (Ok(answer), Some(deadline)) => within(deadline, answer).await,
            (Ok(answer), None) => answer.await,
        };
        if let (Some(member), Err(failure)) = (&self.member, &answer) {
            member.count_missing(*failure);
        }
        on_answer(&self.cluster, &answer);
        (self.cluster, answer)
    }
}

/// Asks all members at once, each under its own deadline. One that fails or hangs costs the others nothing but its deadline.
///
/// `on_answer` sees each member's answer as soon as it is there; skipped members have none.
pub async fn ask_all<T, F>(
    asks: impl IntoIterator<Item = Ask<F>>,
    on_answer: impl Fn(&ClusterName, &Result<T, FailureClass>),
) -> Answers<T>
where
    F: Future<Output = Result<T, FailureClass>>,
{
    join_all(asks.into_iter().map(|ask| ask.run(&on_answer))).await
}

/// Asks one member after the other, for requests whose order counts.
pub async fn ask_in_turn<T, F>(asks: impl IntoIterator<Item = Ask<F>>) -> Answers<T>
where
    F: Future<Output = Result<T, FailureClass>>,
{
    let mut answers = Vec::new();
    for ask in asks {
        answers.push(ask.run(|_, _| ()).await);
    }
    answers
}

/// Gives one member this long for its whole answer.
///
/// # Errors
/// The member's own failure, or [`FailureClass::Timeout`].
pub async fn within<T>(
    deadline: Duration,
    answer: impl Future<Output = Result<T, FailureClass>>,
) -> Result<T, FailureClass> {
    tokio::time::timeout(deadline, answer).await.unwrap_or(Err(FailureClass::Timeout))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use bytes::Bytes;
    use futures::{FutureExt, future::BoxFuture};
    use http::{Request, Response};
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::wire::Body;

    struct Named(ClusterName);

    impl Member for Named {
        fn name(&self) -> &ClusterName {
            &self.0
        }

        fn send(&self, _: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, FailureClass>> {
            unreachable!("what is sent is the caller's business")
        }
    }

    type Answer = BoxFuture<'static, Result<u64, FailureClass>>;

    fn ask(name: &str, takes: u64, deadline: Option<u64>) -> Ask<Answer> {
        let member = Arc::new(Named(name.parse().unwrap()));
        let answer = async move {
            sleep(Duration::from_secs(takes)).await;
            Ok(takes)
        };
        Ask::new(Candidate::Send(member), deadline.map(Duration::from_secs), |_| -> Answer { answer.boxed() })
    }

    fn skip(name: &str) -> Ask<Answer> {
        let candidate = Candidate::Skip(name.parse().unwrap(), FailureClass::Unauthorized);
        Ask::new(candidate, None, |_| unreachable!("it is skipped"))
    }

    #[tokio::test(start_paused = true)]
    async fn answers_keep_their_order_and_deadlines_are_each_members_own() {
        let begun = Instant::now();
        let seen = RefCell::new(Vec::new());
        let asks = [ask("a", 3, Some(5)), ask("b", 60, Some(4)), skip("c"), ask("d", 2, None)];
        let answers = ask_all(asks, |name, answer| seen.borrow_mut().push((name.to_string(), *answer))).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(4), "all at once");
        let answers: Vec<_> = answers.iter().map(|(name, answer)| (name.as_str(), *answer)).collect();
        let timeout = Err(FailureClass::Timeout);
        assert_eq!(
            answers,
            [("a", Ok(3)), ("b", timeout), ("c", Err(FailureClass::Unauthorized)), ("d", Ok(2))]
        );
        let in_time =
            [("d", Ok(2)), ("a", Ok(3)), ("b", timeout)].map(|(name, answer)| (name.to_owned(), answer));
        assert_eq!(seen.into_inner(), in_time);
    }

    #[tokio::test(start_paused = true)]
    async fn in_turn_each_waits_for_the_one_before() {
        let begun = Instant::now();
        let answers = ask_in_turn([ask("a", 3, None), ask("b", 60, Some(4)), ask("c", 1, None)]).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(8));
        assert_eq!(answers[1].1, Err(FailureClass::Timeout));
    }
}
