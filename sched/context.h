// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// context: where something that does not run continues, and the switch from one to another. x86-64, AArch64.
//
// The switch is inline assembly that says it changes every register, so the compiler keeps across it only what lives
// at that place, and each place has a branch history of its own. The stack pointer and the frame pointer cannot be
// named as changed: one is the context, the other is saved by hand.
//
// What lies at context::sp is fixed; the gdb script and dumps of goroutines read it:
//
//             x86-64                                      AArch64
//   sp + 0    address at which it continues (rip)         x29
//   sp + 8    rbp                                         address at which it continues (pc)
//   then      128 bytes of red zone, not touched          nothing: AArch64 has no red zone
//   rsp, sp   of the parked frame: sp + 144               sp + 16
//
// The other registers that calls preserve lie in the frame of the function that contains the switch, where its call
// frame information finds them. That information counts from the frame pointer (-fno-omit-frame-pointer), so program
// counter, stack pointer and frame pointer are all that an unwinder needs to start. It ends in the trampoline below
// make_context's entry, which has no return address.
//
// Not switched: mxcsr and the x87 control word (fpcr), with rounding modes and masked exceptions. Whoever changes them
// changes them for the thread, and puts them back before it parks. Not supported: shadow stacks (CET), which are off
// unless the whole process was built for them and asked for them; indirect branch tracking and BTI are.
//
// The caller tells sanitizers about the switch (sched/fiber_sanitizer.h) and does not cache thread-local addresses
// across it.
//
// Rejected: to continue by `ret`. Processors predict it with the stack of return addresses, always wrongly here:
//             14 ns instead of 2.8;
//           saving mxcsr and the x87 control word: 2 ns each time for what next to nobody changes;
//           a function in assembly: it saves six registers whether or not they are in use, and all switches share
//             one indirect jump.
#pragma once

namespace cairn::sched {

struct context {
  void* sp = nullptr;  // of something that does not run
};

// The bytes from context::sp to the stack pointer of the parked frame.
#if defined(__x86_64__)
inline constexpr int k_context_bytes = 144;
#elif defined(__aarch64__)
inline constexpr int k_context_bytes = 16;
#else
#error "the switch of contexts is written for x86-64 and AArch64"
#endif

// The first switch to `c` calls entry() on the stack that ends at `high`, a multiple of 16. entry never returns, and
// no exception leaves it.
void make_context(context& c, char* high, void (*entry)()) noexcept;

// Whether this is where contexts continue that have not been switched to since they were made.
bool is_entry(const void* pc) noexcept;

// Continues `to`; what ran until now is `from`, and this returns when somebody switches to that, maybe on another
// thread. `from` is written before the first instruction of `to`, so `to` may hand it on; but that is on the same
// thread: who publishes `from` to other threads does so with a release, after the switch.
[[gnu::always_inline]] inline void switch_context(context& from, const context& to) noexcept {
  void** save = &from.sp;
  void* next = to.sp;
#if defined(__x86_64__)
  void* address;
  asm volatile(
      "lea -128(%%rsp), %%rsp\n\t"
      "push %%rbp\n\t"
      "lea 1f(%%rip), %[address]\n\t"
      "push %[address]\n\t"
      "mov %%rsp, (%[save])\n\t"
      "mov %[next], %%rsp\n\t"
      "pop %[address]\n\t"
      "jmp *%[address]\n"
      "1:\n\t"
      "endbr64\n\t"
      "pop %%rbp\n\t"
      "sub $-128, %%rsp"
      : [save] "+D"(save), [next] "+S"(next), [address] "=&a"(address)
      :
      : "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm1", "xmm2",
        "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
        "xmm15",
#if defined(__AVX512F__)
        "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26",
        "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", "k7",
#endif
        "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)", "cc", "memory");
#else
  // x17: the register through which BTI lets a branch reach any landing pad. hint 36 is `bti j`.
  asm volatile(
      "adr x17, 1f\n\t"
      "stp x29, x17, [sp, #-16]!\n\t"
      "mov x16, sp\n\t"
      "str x16, [%[save]]\n\t"
      "mov sp, %[next]\n\t"
      "ldp x29, x17, [sp], #16\n\t"
      "br x17\n"
      "1:\n\t"
      "hint #36"
      : [save] "+r"(save), [next] "+r"(next)
      :
      : "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16",
        "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x30", "v0", "v1",
        "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17",
        "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31",
#if defined(__ARM_FEATURE_SVE)
        "p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11", "p12", "p13", "p14", "p15",
#endif
        "cc", "memory");
#endif
}

}  // namespace cairn::sched
