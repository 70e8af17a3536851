// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/context.h"

#include <cstdint>

// The trampoline: where a new context continues. It finds `entry` at the stack pointer of the parked frame and calls
// it. Two zero words above are what a walk along return addresses or frame pointers ends at. The registers that calls
// preserve are cleared: what the one that switched here had in them would lie on this stack for good, saved by `entry`.
#if defined(__x86_64__)
asm(R"(
  .pushsection .text
  .p2align 4
  .hidden cairn_context_entry
  .globl cairn_context_entry
  .type cairn_context_entry, @function
cairn_context_entry:
  .cfi_startproc
  .cfi_undefined rip
  endbr64
  pop %rbp
  sub $-128, %rsp
  xor %ebx, %ebx
  xor %r12d, %r12d
  xor %r13d, %r13d
  xor %r14d, %r14d
  xor %r15d, %r15d
  pop %rax
  call *%rax
  ud2
  .cfi_endproc
  .size cairn_context_entry, . - cairn_context_entry
  .popsection
)");
#else
// hint 36 is `bti j`. x29 is zero: it was loaded from the new context.
asm(R"(
  .pushsection .text
  .p2align 4
  .hidden cairn_context_entry
  .globl cairn_context_entry
  .type cairn_context_entry, %function
cairn_context_entry:
  .cfi_startproc
  .cfi_undefined x30
  hint #36
  ldr x0, [sp], #16
  mov x19, #0
  mov x20, #0
  mov x21, #0
  mov x22, #0
  mov x23, #0
  mov x24, #0
  mov x25, #0
  mov x26, #0
  mov x27, #0
  mov x28, #0
  mov x30, #0
  blr x0
  brk #1
  .cfi_endproc
  .size cairn_context_entry, . - cairn_context_entry
  .popsection
)");
#endif

extern "C" void cairn_context_entry();

namespace cairn::sched {

void make_context(context& c, char* high, void (*entry)()) noexcept {
  auto* words = reinterpret_cast<std::uintptr_t*>(high);
  const auto trampoline = reinterpret_cast<std::uintptr_t>(&cairn_context_entry);
  words[-1] = words[-2] = 0;
#if defined(__x86_64__)
  words[-3] = reinterpret_cast<std::uintptr_t>(entry);
  char* parked_sp = reinterpret_cast<char*>(words - 3);  // 16 byte aligned once entry is popped: at the call
  auto* saved = reinterpret_cast<std::uintptr_t*>(parked_sp - k_context_bytes);
  saved[0] = trampoline;
  saved[1] = 0;
#else
  words[-3] = 0;
  words[-4] = reinterpret_cast<std::uintptr_t>(entry);
  char* parked_sp = reinterpret_cast<char*>(words - 4);
  auto* saved = reinterpret_cast<std::uintptr_t*>(parked_sp - k_context_bytes);
  saved[0] = 0;
  saved[1] = trampoline;
#endif
  c.sp = saved;
}

bool is_entry(const void* pc) noexcept { return pc == reinterpret_cast<const void*>(&cairn_context_entry); }

}  // namespace cairn::sched
