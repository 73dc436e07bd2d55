// waiter.h - who waits for the answer to a request of this site's host, and may be ended by a signal before.
//
// The kernel lets such a program go only when it is told that nothing came of its call (EINTR). From then on it takes what the request does
// for a change of the other site, so that it has to be made to forget as then (R3). Where nothing has been done yet, nothing is any more.
#pragma once

namespace lockstep::controller {

struct Waiter {
  bool gone = false;   ///< set by who asked: its kernel was told so
  bool bound = false;  ///< set by the role: it is in force here, and the kernel learns that from the answer alone; it can't go any more
};

}  // namespace lockstep::controller
