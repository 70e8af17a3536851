// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// void cairn_call_to_the_end(closure*): closure->run(closure, nullptr), in a frame that has a personality routine
// (sched/uncaught.h). In a file of its own: link-time optimisation does not see what assembly within C++ refers to.
  .text
  .p2align 4
  .hidden cairn_call_to_the_end
  .globl cairn_call_to_the_end
  .type cairn_call_to_the_end, %function
  .hidden cairn_left_goroutine
cairn_call_to_the_end:
  .cfi_startproc
  .cfi_personality 0x1b, cairn_left_goroutine
#if defined(__x86_64__)
  endbr64
  push %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset rbp, -16
  mov %rsp, %rbp
  .cfi_def_cfa_register rbp
  xor %esi, %esi
  call *(%rdi)
  pop %rbp
  .cfi_def_cfa rsp, 8
  ret
#else
  hint #34
  stp x29, x30, [sp, #-16]!
  .cfi_def_cfa_offset 16
  .cfi_offset x29, -16
  .cfi_offset x30, -8
  mov x29, sp
  ldr x9, [x0]
  mov x1, #0
  blr x9
  ldp x29, x30, [sp], #16
  .cfi_restore x29
  .cfi_restore x30
  .cfi_def_cfa_offset 0
  ret
#endif
  .cfi_endproc
  .size cairn_call_to_the_end, . - cairn_call_to_the_end
  .section .note.GNU-stack, "", %progbits
