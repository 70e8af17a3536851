// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The sleeper: the one worker without a P that, instead of sleeping on its note, sleeps until the earliest timer of all
// Ps, or in the poller until a descriptor is ready that somebody waits for.
//
// A worker that goes idle becomes the sleeper if there is none and there is a timer or somebody waits for I/O. If there
// is one, it interrupts it if that sleeps past an earlier timer, or does not sleep in the poller though it has to. So
// whoever puts a timer into its own P's heap, or waits for a descriptor, need not tell anybody: its worker comes
// by on its way to sleep. Who does it without a P says so by rouse_sleeper or rouse_poller; who gives a P away, by
// interrupt_sleeper (hand_off).
//
// With P idle and somebody waiting for I/O there is a sleeper in the poller, or a worker on its way there. For
// a sleeper stops being one before it looks for an idle P. If it gets one it comes by again. If there is none,
// all are in use, and who gives up the first of them does so after that look and finds that there is no
// sleeper.
//
// Interrupting. The sleeper reads sleeper_word, says until when it sleeps, claims the poller, and looks at the timers
// and the word again before it sleeps. Who interrupts raises the word and then looks for the claim: all sequentially
// consistent, so the sleeper sees the word, the other one the claim, or the futex the change of the word.
#pragma once
#include "sched/netpoll.h"
#include "sched/scheduler.h"

namespace cairn::sched {

// Sleeps if there is a reason to and nobody does; else false. The caller has no P and stands in its loop, in a section.
// What is ready then is in `fetched` and has to be dispatched: better by one who has a P.
bool sleep_for_all(m& self, poll_events& fetched) noexcept;
// Somebody sleeps so.
bool has_sleeper() noexcept;

// A timer was put in, and no worker comes by on its way to sleep. In a section, or on a thread without an m.
void rouse_sleeper() noexcept;
// Somebody waits for a descriptor and no worker comes by on its way to sleep. Likewise.
void rouse_poller() noexcept;
// Somebody waits for a descriptor, and nobody blocks in the poller.
bool needs_poller() noexcept;

}  // namespace cairn::sched
