// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Backtraces of stacks that are not the caller's own.
//
// The part of a stack that is in use is copied while its owner cannot run, which takes about as long as a memcpy, and
// everything else is done with the copy, by anybody, at any time: words that pointed into the stack are made to point
// into the copy, and the C++ runtime's own unwinder is started on it. It goes by call frame information, so functions
// without a frame pointer are no obstacle, and it goes through the frame of a signal handler like any other.
//
// The unwinder can only start where it is called. So it is called by a function in assembly (unwind.cc) whose own
// call frame information says that it was called from the position in the copy.
//
// Rejected: walking frame pointers, which programs are compiled without;
//           switching to the stack in question, which then must not be one that overflowed or that a signal found in
//           the middle of a switch, and needs room there;
//           unwinding the stack itself: its owner would have to be held for as long as the unwinder takes, which may
//           wait for a lock of the loader's.
#pragma once
#include <cstddef>

namespace cairn::sched {

// Where something stands: enough to start from, for the functions of the library keep frame pointers.
struct position {
  void* pc = nullptr;
  void* sp = nullptr;
  void* fp = nullptr;
};

// The position of the function that it is used in, with all callee-saved registers in that function's frame. That
// function must not return, nor come to an end of a scope it is in, while the position is in use. It is not inlined:
// else the frame has what the registers held when the function around it began, and not what that one keeps in them.
#if defined(__x86_64__)
#define CAIRN_POSITION_HERE(at)                                                              \
  do {                                                                                       \
    __builtin_unwind_init();                                                                 \
    asm volatile("lea 1f(%%rip), %0\n1:\n\tmov %%rsp, %1" : "=&r"((at).pc), "=&r"((at).sp)); \
    (at).fp = __builtin_frame_address(0);                                                    \
  } while (false)
#else
#define CAIRN_POSITION_HERE(at)                                                    \
  do {                                                                             \
    __builtin_unwind_init();                                                       \
    asm volatile("adr %0, 1f\n1:\n\tmov %1, sp" : "=&r"((at).pc), "=&r"((at).sp)); \
    (at).fp = __builtin_frame_address(0);                                          \
  } while (false)
#endif

// A copy of [at.sp, high) of a stack, in memory of the caller's that is aligned to 16 bytes.
struct stack_image {
  char* bytes = nullptr;
  std::size_t capacity = 0;
  std::size_t size = 0;  // what of it is filled
  position at;           // of the original
};

// Copies [at.sp, high), whose owner cannot run. False if it does not fit, or if sp does not lie in [low, high); `size`
// is what it takes then, or 0. Async-signal-safe.
bool copy_stack(stack_image& image, const position& at, const void* low, const void* high) noexcept;

// The return addresses, innermost first, beginning with the position itself; `most` at most. With `interrupted` what
// lies within the innermost signal handler is left out. Uses up the image. Takes the loader's lock on systems whose
// C library is older than 2.35: at depth 0, or on a thread without an m.
std::size_t unwind(stack_image& image, bool interrupted, void** frames, std::size_t most) noexcept;

}  // namespace cairn::sched
