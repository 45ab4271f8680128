// Package nastest is an access server in memory, over real UDP: subscribers log in through it with PAP, CHAP or
// MS-CHAPv2, it accounts for their sessions and obeys CoA- and Disconnect-Requests as the vendor that it plays would.
// Tests, the demonstration and stories use it.
//
// Each vendor is a value in a file of its own. It builds and reads packets with layeh.com/radius alone, and reads
// attributes with code of its own, so that it checks the server and the dialects rather than agreeing with them. It lives
// by the real clock, as a device does.
package nastest
