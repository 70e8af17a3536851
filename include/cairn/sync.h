// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Synchronisation between goroutines. From an attached thread that is no goroutine it blocks the thread.
#pragma once
#include "cairn/sync/atomic_value.h"
#include "cairn/sync/cond.h"
#include "cairn/sync/errgroup.h"
#include "cairn/sync/map.h"
#include "cairn/sync/mutex.h"
#include "cairn/sync/once.h"
#include "cairn/sync/pool.h"
#include "cairn/sync/rw_mutex.h"
#include "cairn/sync/semaphore.h"
#include "cairn/sync/wait_group.h"
