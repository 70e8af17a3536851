// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A stack with the place where it goes on: a goroutine's, or a thread's own while a goroutine runs there.
#pragma once
#include "sched/context.h"
#include "sched/fiber_sanitizer.h"

namespace cairn::sched {

struct fiber {
  context at;  // written by the switch away from it, read by the switch to it
  char* low = nullptr;
  char* high = nullptr;  // null: it has no stack yet
  fiber_annotation annotation;
};

// What the C++ runtime keeps of a thread's exceptions, as the Itanium ABI lays it out. It belongs to the goroutine: one
// that parks in a catch block has its exception again when it continues, wherever that is.
struct exception_state {
  void* caught = nullptr;
  unsigned uncaught = 0;
};

}  // namespace cairn::sched
