// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "sched/unwind.h"

#include <unwind.h>

#include <cstdint>

#include "sched/context.h"

// int cairn_unwind_from(void* const position[3], _Unwind_Trace_Fn fn, void* arg): _Unwind_Backtrace(fn, arg), as if
// the caller stood at {pc, sp, fp}. The escapes are DW_CFA_def_cfa_expression: the caller's stack pointer is
// position[1]; and DW_CFA_expression: its return address lies at position + 0, its frame pointer at position + 2. They
// count from a callee-saved register, rbx or x19.
#if defined(__x86_64__)
asm(R"(
  .pushsection .text
  .p2align 4
  .hidden cairn_unwind_from
  .globl cairn_unwind_from
  .type cairn_unwind_from, @function
cairn_unwind_from:
  .cfi_startproc
  endbr64
  push %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset rbp, -16
  push %rbx
  .cfi_def_cfa_offset 24
  .cfi_offset rbx, -24
  sub $8, %rsp
  .cfi_def_cfa_offset 32
  mov %rdi, %rbx
  mov %rsi, %rdi
  mov %rdx, %rsi
  .cfi_remember_state
  .cfi_escape 0x0f, 0x03, 0x73, 0x08, 0x06
  .cfi_escape 0x10, 0x10, 0x02, 0x73, 0x00
  .cfi_escape 0x10, 0x06, 0x02, 0x73, 0x10
  call _Unwind_Backtrace@PLT
  nop
  .cfi_restore_state
  add $8, %rsp
  .cfi_def_cfa_offset 24
  pop %rbx
  .cfi_def_cfa_offset 16
  pop %rbp
  .cfi_def_cfa_offset 8
  ret
  .cfi_endproc
  .size cairn_unwind_from, . - cairn_unwind_from
  .popsection
)");
#else
asm(R"(
  .pushsection .text
  .p2align 4
  .hidden cairn_unwind_from
  .globl cairn_unwind_from
  .type cairn_unwind_from, %function
cairn_unwind_from:
  .cfi_startproc
  hint #34
  stp x29, x30, [sp, #-32]!
  .cfi_def_cfa_offset 32
  .cfi_offset x29, -32
  .cfi_offset x30, -24
  str x19, [sp, #16]
  .cfi_offset x19, -16
  mov x19, x0
  mov x0, x1
  mov x1, x2
  .cfi_remember_state
  .cfi_escape 0x0f, 0x03, 0x83, 0x08, 0x06
  .cfi_escape 0x10, 0x1e, 0x02, 0x83, 0x00
  .cfi_escape 0x10, 0x1d, 0x02, 0x83, 0x10
  bl _Unwind_Backtrace
  nop
  .cfi_restore_state
  ldr x19, [sp, #16]
  ldp x29, x30, [sp], #32
  .cfi_def_cfa_offset 0
  ret
  .cfi_endproc
  .size cairn_unwind_from, . - cairn_unwind_from
  .popsection
)");
#endif

extern "C" int cairn_unwind_from(void* const* position, _Unwind_Trace_Fn fn, void* arg);

// The bytes of a stack that may be poisoned, or written by others as far as a sanitizer can tell.
#if defined(__clang__)
#define CAIRN_READS_STACKS __attribute__((no_sanitize("address", "thread", "undefined")))
#else
#define CAIRN_READS_STACKS __attribute__((no_sanitize_address, no_sanitize_thread, no_sanitize_undefined))
#endif

namespace cairn::sched {
namespace {

struct walk {
  void** frames;
  std::size_t most;
  std::size_t n;
  std::uintptr_t low, high;  // of the copy
  bool first;                // the bridge itself
  bool interrupted;
};

_Unwind_Reason_Code note_frame(_Unwind_Context* frame, void* arg) {
  walk& w = *static_cast<walk*>(arg);
  if (w.first) return w.first = false, _URC_NO_REASON;
  int is_exact = 0;
  const std::uintptr_t pc = _Unwind_GetIPInfo(frame, &is_exact);
  const std::uintptr_t sp = _Unwind_GetCFA(frame);
  if (pc == 0 || sp < w.low || sp >= w.high) return _URC_END_OF_STACK;
  // An address that is no return address: what was noted until here is the handler that interrupted it.
  if (is_exact != 0 && w.interrupted) {
    w.interrupted = false;
    w.n = 0;
  }
  // A return address may lie behind the function that it belongs to, so who looks it up looks at the byte before it.
  w.frames[w.n++] = reinterpret_cast<void*>(pc + (is_exact != 0 ? 1 : 0));
  return w.n == w.most ? _URC_END_OF_STACK : _URC_NO_REASON;
}

}  // namespace

CAIRN_READS_STACKS bool copy_stack(stack_image& image, const position& at, const void* low,
                                   const void* high) noexcept {
  const auto from = reinterpret_cast<std::uintptr_t>(at.sp), to = reinterpret_cast<std::uintptr_t>(high);
  image.size = 0;
  image.at = at;
  if (from < reinterpret_cast<std::uintptr_t>(low) || from >= to || from % sizeof(void*) != 0) return false;
  image.size = to - from;
  if (image.size > image.capacity) return false;
  // Volatile: a call of memcpy would be the sanitizer's.
  auto* out = reinterpret_cast<volatile std::uintptr_t*>(image.bytes);
  for (const auto* word = reinterpret_cast<const volatile std::uintptr_t*>(from);
       reinterpret_cast<std::uintptr_t>(word) < to; ++word, ++out)
    *out = *word;
  return true;
}

std::size_t unwind(stack_image& image, bool interrupted, void** frames, std::size_t most) noexcept {
  const auto low = reinterpret_cast<std::uintptr_t>(image.at.sp);
  const auto copy = reinterpret_cast<std::uintptr_t>(image.bytes);
  const auto moved = [&](std::uintptr_t word) {
    return word >= low && word - low <= image.size ? word - low + copy : word;
  };
  auto* words = reinterpret_cast<std::uintptr_t*>(image.bytes);
  for (std::size_t i = 0; i < image.size / sizeof *words; ++i) words[i] = moved(words[i]);
  void* const start[3] = {image.at.pc, image.bytes,
                          reinterpret_cast<void*>(moved(reinterpret_cast<std::uintptr_t>(image.at.fp)))};
  walk w{frames, most, 0, copy, copy + image.size, true, interrupted};
  cairn_unwind_from(start, note_frame, &w);
  image.size = 0;
  return w.n;
}

}  // namespace cairn::sched
