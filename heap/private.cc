// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "heap/private.h"

namespace cairn::heap {

constinit const private_table* private_table::first_ = nullptr;

}  // namespace cairn::heap
