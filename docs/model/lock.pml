// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The biased lock (sched/biased_lock.h) as a model for Spin: is it ever held by two, is a release ever lost, does anybody
// wait for ever? Read README.md first. `check` runs it.
//
// THREADS threads take and release one lock, USES times in all, in any distribution. Each has a store buffer of DEPTH
// entries, first in, first out, as on x86: what it stores plainly waits there, it reads its own stores, and others
// see them when they leave. A CAS waits until the buffer is empty. The fence for all empties one buffer after the
// other. Loads are in order.
//
// Configurations:
//   THREADS=n  (default 3)
//   USES=n     (default 5) how often the lock is taken; what the count in its word is bounded by
//   STREAK=n   (default 1) uses beyond the first one in a row that earn the bias
//   DEPTH=n    (default 4; 6) entries of a store buffer
//   STRANGER   the last thread has no m
// Mutations (each is a bug that must be found): see README.md.

#ifndef THREADS
#define THREADS 3
#endif
#ifndef USES
#define USES 5
#endif
#ifndef STREAK
#define STREAK 1
#endif
#ifndef DEPTH
#define DEPTH 4
#endif

// ---- the lock -------------------------------------------------------------------------------------------
#define HELD 1
#define BIASED 2
#define ONE 4
#define ENDING 1
byte word;    // HELD, BIASED, and above, how often it was released
byte owner;   // OWN(thread), ENDING
byte streak;  // of who holds the lock, so it needs no buffer
bool window[THREADS];

#ifdef STRANGER
#define HAS_M(t) ((t) != THREADS - 1)
#else
#define HAS_M(t) true
#endif
#define OWN(t) (HAS_M(t) -> ((t) + 1) * 2 : 0)
#define OWNER_OF(o) ((o) & ~ENDING)
#define THREAD_OF(o) ((o) / 2 - 1)

// ---- for assertions -------------------------------------------------------------------------------------
byte calls, releases, inside, ended;

// ---- store buffers --------------------------------------------------------------------------------------
#define WORD 1
#define OWNER 2
#define WINDOW 3
byte delayed[THREADS];
byte what[THREADS * DEPTH], value[THREADS * DEPTH];
#define AT(t, i) ((t) * DEPTH + (i))
#define HITS(t, i, w) (delayed[t] > (i) && what[AT(t, i)] == (w))
#define LOOK(t, i, w, rest) (HITS(t, i, w) -> value[AT(t, i)] : rest)
#define READ4(t, w, rest) LOOK(t, 3, w, LOOK(t, 2, w, LOOK(t, 1, w, LOOK(t, 0, w, rest))))
#if DEPTH == 4
#define READ(t, w, memory) READ4(t, w, memory)
#elif DEPTH == 6
#define READ(t, w, memory) LOOK(t, 5, w, LOOK(t, 4, w, READ4(t, w, memory)))
#else
#error "DEPTH is 4 or 6"
#endif
#define THE_WORD READ(me, WORD, word)
#define THE_OWNER READ(me, OWNER, owner)
#define HAS_ROOM (delayed[me] < DEPTH)
#define IS_FENCED (delayed[me] == 0)

inline store(w, x) {
  what[AT(me, delayed[me])] = w;
  value[AT(me, delayed[me])] = x;
  delayed[me]++
}

// The oldest store of thread t reaches memory.
inline reaches_memory(t) {
  if
  :: what[AT(t, 0)] == WORD -> word = value[AT(t, 0)]
  :: what[AT(t, 0)] == OWNER -> owner = value[AT(t, 0)]
  :: what[AT(t, 0)] == WINDOW -> window[t] = value[AT(t, 0)]
  fi;
  k = 1;
  do
  :: k < delayed[t] -> what[AT(t, k - 1)] = what[AT(t, k)]; value[AT(t, k - 1)] = value[AT(t, k)]; k++
  :: else -> break
  od;
  k = 0;
  delayed[t]--;
  what[AT(t, delayed[t])] = 0;
  value[AT(t, delayed[t])] = 0
}

inline fence(t) {
  do
  :: delayed[t] != 0 -> reaches_memory(t)
  :: else -> break
  od
}

active proctype memory() {
  byte k;
  do
  :: d_step { delayed[0] != 0 -> reaches_memory(0) }
  :: d_step { delayed[1] != 0 -> reaches_memory(1) }
#if THREADS > 2
  :: d_step { delayed[2] != 0 -> reaches_memory(2) }
#endif
  :: d_step { ended == THREADS && delayed[0] == 0 && delayed[1] == 0 && delayed[THREADS - 1] == 0 ->
       assert((word & HELD) == 0 && word / ONE == USES) };
     break
  od
}

// ---- threads --------------------------------------------------------------------------------------------

proctype thread(byte me) {
  byte v, o, k;
  do
  :: atomic {
       calls < USES -> calls++;
       v = THE_WORD
     };
     // lock
     if
     :: (v & BIASED) != 0 && HAS_M(me) -> goto biased
     :: (v & (BIASED | HELD)) == 0 -> goto free
     :: else -> goto slow
     fi;

biased:
     // opens its window
     atomic { HAS_ROOM -> store(WINDOW, true) };
     // reads the word
     v = THE_WORD;
     // looks whether it is the owner
     o = THE_OWNER;
#ifdef M_ENDING
     o = OWNER_OF(o);
#endif
#ifdef M_LOOK
     o = OWN(me);
#endif
     if
     :: o != OWN(me) || (v & (BIASED | HELD)) != BIASED ->
        // closes its window
        d_step { HAS_ROOM -> store(WINDOW, false) };
        goto slow
     :: else
     fi;
#ifndef M_EARLY
     // takes it
     d_step { HAS_ROOM -> v = v | HELD; store(WORD, v) };
#endif
     // closes its window
     d_step { HAS_ROOM -> store(WINDOW, false) };
#ifdef M_EARLY
     // takes it
     d_step { HAS_ROOM -> v = v | HELD; store(WORD, v) };
#endif
     goto has_it;

slow:
     // waits until it is free
     atomic { (THE_WORD & HELD) == 0 -> v = THE_WORD };
     if
     :: (v & BIASED) == 0 -> goto free
     :: else
     fi;
     // whose bias it is
     o = THE_OWNER;
     if
     :: OWNER_OF(o) == OWN(me) || OWNER_OF(o) == 0 -> goto free
     :: else
     fi;
     if
     :: (o & ENDING) == 0 ->
        // ends the bias
        atomic {
          IS_FENCED;
          if
          :: owner == o -> owner = o | ENDING
          :: owner == (o | ENDING)
          :: else -> goto slow
          fi
        }
     :: else
     fi;
     o = THREAD_OF(OWNER_OF(o));
#ifndef M_FENCE
     // the fence
     d_step { fence(0) };
     d_step { fence(1) };
#if THREADS > 2
     d_step { fence(2) };
#endif
#endif
#ifndef M_AWAIT
     // the owner has no window open
     !window[o];
#endif
#ifdef M_REREAD
     // reads the word again
     v = THE_WORD;
     if :: (v & HELD) != 0 -> goto slow :: else fi;
#endif

free:
     // takes it by CAS
     atomic {
       IS_FENCED;
       if
       :: word == v -> word = (v | HELD) & ~BIASED
       :: else -> goto slow
       fi
     };
     // counts the uses in a row
     o = THE_OWNER;
     if
     :: o != OWN(me) -> d_step { HAS_ROOM -> o = OWN(me); store(OWNER, o); streak = 0 }
     :: else ->
        d_step {
          HAS_ROOM;
          streak++;
          if
          :: streak >= STREAK ->
             streak = 0;
             if :: HAS_M(me) -> v = THE_WORD | BIASED; store(WORD, v) :: else fi
          :: else
          fi
        }
     fi;

has_it:
     // has it
     atomic {
       v = THE_WORD / ONE;
       assert(inside == 0);  // nobody else has it
       assert(v == releases);  // no release is lost
       inside++;
       v = 0;
       o = 0
     };
     // releases it
     d_step { HAS_ROOM -> inside--; releases++; v = THE_WORD + ONE - HELD; store(WORD, v); v = 0 }
  :: calls == USES -> break
  od;
  ended++
}

init {
  atomic {
    run thread(0);
    run thread(1);
#if THREADS > 2
    run thread(2)
#endif
  }
}
