// Package routeros speaks MikroTik's API (TCP 8729 with TLS, 8728 without) with routers: the last resort of the
// reconciler, what a router says of itself, whether it is configured for this server, and what it knows of subscribers.
//
// A request and its reply have a connection to themselves, each with a deadline; a router keeps few connections, and one
// on which anything failed is not used again. Nothing a router sends makes it allocate more than a word's bound.
package routeros
