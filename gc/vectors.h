// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Zeroing the vector registers.
//
// Marking moves addresses through vector registers, and the program may not use these for a long time. A thread of the
// program that has marked for a moment would hold on to what it left there: a signal's frame shows all registers, and a
// handshake that interrupts the thread has to take each for a pointer. (Of binary-trees the root of a dead tree stood
// there, for a whole cycle.)
#pragma once

namespace cairn::gc {

// All those that any function may change. Some 10 ns.
using register_wiper = void (*)() noexcept;
extern register_wiper forget_vectors;
// By what this processor has. When the runtime starts; until then only those that every processor has.
void choose_forget_vectors() noexcept;

}  // namespace cairn::gc
