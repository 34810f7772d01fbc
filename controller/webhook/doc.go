// Package webhook sends notifications over HTTP. What there is to tell, and in
// which words, is decided by the package notify.
//
// Nothing keeps a pass waiting: [Sender.Tell] only hands over what castoff knows,
// and a goroutine works out what of it is news to whom. Each receiver has a queue
// and a goroutine of its own, so that one that hangs keeps no other waiting. Both
// hand-over and queues are bounded; when one is full the oldest is dropped, and
// counted.
//
// A webhook gets what Standard Webhooks describes: the headers webhook-id,
// webhook-timestamp and webhook-signature, over a JSON body.
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md)
//
// What is answered 2xx is delivered. No answer, 408, 429 and 5xx are tried again,
// not before Retry-After has passed, until the news is too old; anything else is
// final, redirects included: a body that is signed for one receiver is not for
// another.
package webhook
