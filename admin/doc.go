// Package admin is how people and other programs reach Enlace: the staff's panel and the JSON API, over HTTP.
//
// Owns: pages, forms, sign-in, the API's resources and the mapping of domain errors to HTTP. Does not own: any rule
// (contracts, billing), any table (its stores are interfaces, see ports.go), any socket towards an access server.
//
// A page is a function of the stores and the clock it was given; a form posts, acts and redirects. Everything works
// without JavaScript; the script only refreshes what is live and asks before what is dangerous.
package admin
