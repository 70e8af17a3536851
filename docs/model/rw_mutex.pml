// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The mutex of readers and writers with its two biases (sched/rw_mutex.cc) as a model for Spin: is it ever held by a
// writer and somebody else, does who has it miss what a writer wrote, is a reader lost or counted twice, is it touched
// after its last unlock, does anybody wait for ever? Read README.md first. `check` runs it.
//
// THREADS threads lock and unlock one mutex, USES times in all, in any distribution, each time to read or to write. A
// reader that the word counts may begin a bias of either kind whenever the rules let it, one that has come by the
// fenced bias may turn it into a plain one, so that all numbers of reads are among what is searched. Store buffers are
// those of lock.pml. Locked instructions wait until their thread's buffer is empty: all of the word, the stores of the bias, the
// lock of the hall, the opening of a fenced window. Who unlocks it last destroys it then, while others may still be on
// their way out of their unlock.
//
// Configurations:
//   THREADS=n  (default 2; 3)
//   USES=n     (default 4) how often it is locked
//   DEPTH=n    (default 4; 6) entries of a store buffer
//   WRITERS=n  (default THREADS) only the first n threads write
//   KIND=n     biases are plain only (0) or fenced only (1)
//   OTHER      the last thread locks nothing; who has it may leave it to any thread to be unlocked
//   STRANGER   the same, and the last thread has no m
//   REBORN     the mutex is destroyed once before the end, and another one made at its address
// Mutations (each is a bug that must be found): see README.md.

#ifndef THREADS
#define THREADS 2
#endif
#ifndef USES
#define USES 4
#endif
#ifndef DEPTH
#define DEPTH 4
#endif
#ifndef WRITERS
#define WRITERS THREADS
#endif

// ---- the mutex ------------------------------------------------------------------------------------------
#define WRITER 1
#define LINE 2
#define CALLED 4
#define UNKNOWN 8
byte word;    // the bits
short count;  // of the word: readers, without those that UNKNOWN stands for
byte bias;    // its number times 2; 1 more: fenced
byte number = 1;  // of the last one
byte data;    // what it protects: how often it was written
bool window[THREADS];
byte table[THREADS];  // a number times 4, and how many readers, at most 3; 0 if none

byte hall;  // thread + 1 that has its lock
byte line[2 * THREADS], n[2];  // of those that want to read, of those that want to write
bool admitted[THREADS], asleep[THREADS], woken[THREADS];

#define IS_FENCED_BIAS(b) (((b) & 1) != 0)
#define COUNTED(place) ((place) & 3)
#ifdef M_NUMBER
#define IS_OF(place, b) true
#else
#define IS_OF(place, b) ((place) / 4 == (b) / 2)
#endif
#ifdef REBORN
#define NEXT_NUMBER (number + 1)
#else
#define NEXT_NUMBER (3 - number)
#endif

// ---- for assertions -------------------------------------------------------------------------------------
byte calls, releases, writes, reading, writing, ended, busy;
bool gone, reborn;
byte left_to_read, left_to_write;

// ---- store buffers --------------------------------------------------------------------------------------
#define WINDOW 1
#define DATA 2
#define BIAS 3
#define TABLE 4
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
#define THE_DATA READ(me, DATA, data)
#define TABLE_OF(t) READ(me, TABLE + (t), table[t])
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
  :: what[AT(t, 0)] == WINDOW -> window[t] = value[AT(t, 0)]
  :: what[AT(t, 0)] == DATA -> data = value[AT(t, 0)]
  :: what[AT(t, 0)] == BIAS -> assert(!gone); bias = value[AT(t, 0)]
  :: else -> table[what[AT(t, 0)] - TABLE] = value[AT(t, 0)]
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

#define IS_COUNTED_HERE(t) (bias != 0 && IS_OF(table[t], bias))
#define SUM_OF(t) (IS_COUNTED_HERE(t) -> COUNTED(table[t]) : 0)
#if THREADS > 2
#define SUM (count + SUM_OF(0) + SUM_OF(1) + SUM_OF(2))
#else
#define SUM (count + SUM_OF(0) + SUM_OF(1))
#endif

active proctype memory() {
  byte k;
  do
  :: d_step { delayed[0] != 0 -> reaches_memory(0) }
  :: d_step { delayed[1] != 0 -> reaches_memory(1) }
#if THREADS > 2
  :: d_step { delayed[2] != 0 -> reaches_memory(2) }
#endif
  :: d_step { ended == THREADS && delayed[0] == 0 && delayed[1] == 0 && delayed[THREADS - 1] == 0 ->
       assert((word & ~UNKNOWN) == 0 && (bias != 0) == (word == UNKNOWN) && SUM == 0);
       assert(n[0] == 0 && n[1] == 0 && data == writes) };
     break
  od
}

// ---- the lock of the hall -------------------------------------------------------------------------------

inline enter_hall() { atomic { IS_FENCED && hall == 0 -> hall = me + 1 } }
inline leave_hall() { atomic { IS_FENCED -> hall = 0 } }

// ---- the lines ------------------------------------------------------------------------------------------
#define TO_READ 0
#define TO_WRITE 1
#define NOBODY THREADS
#define IS_READER_ADMITTED (n[0] != 0 && admitted[line[0]])
#define FIRST_READER (n[0] != 0 -> line[0] + 1 : 0)
#define NEXT (n[1] != 0 && !IS_READER_ADMITTED -> line[THREADS] + 1 : FIRST_READER)
#define ARE_OTHERS(w) ((n[0] != 0 && (line[0] != (w) || n[0] > 1)) || (n[1] != 0 && (line[THREADS] != (w) || n[1] > 1)))
#define OTHERS(w) (ARE_OTHERS(w) -> LINE : 0)
#define IS_READER_CALLED(w) (n[0] != 0 && line[0] != (w) && !asleep[line[0]] && n[1] == 0)
#define OTHERS_OF_READER(w) (IS_READER_CALLED(w) -> CALLED : OTHERS(w))

#ifdef M_CALLED
#define CLEARED LINE
#else
#define CLEARED (LINE | CALLED)
#endif

// heir: who is to be woken then, + 1
inline call_heir() {
  if
  :: heir != 0 && asleep[heir - 1] -> asleep[heir - 1] = false
  :: else -> heir = 0
  fi
}

inline wake_heir() {
  // wakes it
  if
  :: heir != 0 -> d_step { woken[heir - 1] = true; heir = 0 }
  :: else
  fi
}

// v: has it. It may come before the first in line.
inline take_to_write() {
  // takes it to write if it is free
  atomic {
    IS_FENCED -> assert(!gone);
    v = true;
    if
    :: n[1] != 0 && line[THREADS] != me -> v = false
    :: true
    fi;
    v = v && !IS_READER_ADMITTED && count == 0 && (word & (WRITER | UNKNOWN)) == 0;
    if
    :: v -> word = WRITER | OTHERS(me)
    :: else -> word = (word & ~CALLED) | LINE
    fi
  }
}

// v: has it. It is counted by the word already or not, and after that only if it has it.
inline take_to_read(is_counted) {
  // takes it to read if no writer has it or comes first
  d_step {
    IS_FENCED;
    assert(!gone);
    v = (word & WRITER) == 0 && (n[1] == 0 || admitted[me]);
    if
    :: v -> count = count + 1 - is_counted; word = (word & ~CLEARED) | OTHERS_OF_READER(me)
    :: else -> count = count - is_counted; word = (word & ~CALLED) | LINE
    fi
  }
}

inline stands_in_line(w) { d_step { line[(w) * THREADS + n[w]] = me; n[w]++ } }

inline leaves_line(w) {
  // leaves the line
  atomic {
    k = (w) * THREADS;
    do
    :: line[k] != me -> k++
    :: else -> break
    od;
    n[w]--;
    do
    :: k < (w) * THREADS + n[w] -> line[k] = line[k + 1]; k++
    :: else -> break
    od;
    line[k] = 0;
    k = 0;
    admitted[me] = false
  }
}

inline sleeps() {
  // sleeps
  d_step { IS_FENCED -> asleep[me] = true; woken[me] = false; hall = 0 };
  atomic { woken[me] -> woken[me] = false };
  enter_hall()
}

// ---- the bias -------------------------------------------------------------------------------------------

inline end_bias() {
  // which bias there is
  atomic { assert(!gone); b = READ(me, BIAS, bias) };
  if
  :: b == 0
  :: else ->
#ifndef M_ORDER
     // takes the bias back
#ifdef M_ENDER
     d_step { HAS_ROOM -> store(BIAS, 0) };
#else
     atomic { IS_FENCED -> bias = 0 };
#endif
#endif
#ifndef M_FENCE
     if
     :: IS_FENCED_BIAS(b)
     :: else ->
        // the fence
        d_step { fence(me) };
        d_step { fence(0) };
        d_step { fence(1) };
#if THREADS > 2
        d_step { fence(2) };
#endif
        skip
     fi;
#endif
     o = 0;
     do
#ifdef M_TABLES
     :: o == me -> o++
     :: o < THREADS && o != me ->
#else
     :: o < THREADS ->
#endif
#ifndef M_AWAIT
        // it has no window open
        !window[o];
#endif
        // collects what its table counts
        d_step {
          HAS_ROOM;
          v = TABLE_OF(o);
          if
          :: IS_OF(v, b) && COUNTED(v) != 0 -> sum = sum + COUNTED(v); store(TABLE + o, 0)
          :: else
          fi;
          v = 0;
          o++
        }
     :: else -> break
     od;
#ifdef M_ORDER
     atomic { IS_FENCED -> bias = 0 };
#endif
     // the word counts them all
     atomic {
       IS_FENCED -> assert(!gone);
       count = count + sum;
       word = word & ~UNKNOWN;
       assert(count >= 0);
       sum = 0;
       o = 0
     }
  fi;
  b = 0
}

// In the hall, by a reader that the word counts.
inline begin_bias(fenced) {
  // may a bias begin?
  atomic { assert(!gone); v = bias == 0 &&
#ifdef M_LINE
    (word & (WRITER | UNKNOWN)) == 0 };
#else
    (word & (WRITER | LINE | CALLED)) == 0 };
#endif
  if
  :: v ->
#ifndef M_UNKNOWN
     // there are readers that the word does not count
     atomic { IS_FENCED -> assert(!gone); word = word | UNKNOWN };
#endif
     // gives the bias
     atomic { IS_FENCED -> assert(!gone); number = NEXT_NUMBER; bias = number * 2 + fenced };
     v = 0
  :: else
  fi
}

// In a window on the mutex, of the kind that the bias was when it was looked at before, b: the own table counts one
// more or less. v: it is done.
inline counts_in_window(is_one_more) {
  if
#ifndef M_FENCED
  :: IS_FENCED_BIAS(b) ->
     // opens a fenced window
     atomic { IS_FENCED -> window[me] = true }
#endif
  :: else ->
     // opens a window
     d_step { HAS_ROOM -> store(WINDOW, true) }
  fi;
  // looks at the bias
  d_step {
    assert(!gone);
#ifndef M_LOOK
#ifndef M_KIND
    o = ((IS_FENCED_BIAS(b) || !IS_FENCED_BIAS(bias)) -> bias : 0);
#else
    o = bias;
#endif
#else
    o = b;
#endif
    b = 0
  };
  // looks at the own table
  d_step {
    v = 0;
    p = TABLE_OF(me);
    if
    :: o != 0 && is_one_more && (COUNTED(p) == 0 || (IS_OF(p, o) && COUNTED(p) != 3)) ->
       v = true; p = (o / 2) * 4 + COUNTED(p) + 1
    :: o != 0 && !is_one_more && COUNTED(p) != 0 && IS_OF(p, o) -> v = true; p = (COUNTED(p) > 1 -> p - 1 : 0)
    :: else -> p = 0
    fi;
    o = 0
  };
#ifdef M_EARLY
  // closes the window
  d_step { HAS_ROOM -> store(WINDOW, false) };
#endif
  if
  :: v ->
     // writes to the own table
     d_step {
       HAS_ROOM;
       store(TABLE + me, p);
       p = 0;
       if
       :: is_one_more
       :: else -> released_by_reader()
       fi
     }
  :: else
  fi;
#ifndef M_EARLY
  // closes the window
  d_step { HAS_ROOM -> store(WINDOW, false) }
#else
  skip
#endif
}

// ---- threads --------------------------------------------------------------------------------------------

inline released() {
  releases++;
  busy--;
  last = (busy == 0)
}

inline released_by_reader() {
  reading--;
  released()
}

inline released_by_writer() {
  writing--;
  released()
}

#ifdef STRANGER
#define OTHER
#define HAS_M(t) ((t) != THREADS - 1)
#else
#define HAS_M(t) true
#endif
#ifdef OTHER
#define LOCKS(t) ((t) != THREADS - 1)
#define NOTHING_LEFT (left_to_read == 0 && left_to_write == 0 && releases == USES)
#else
#define LOCKS(t) true
#define NOTHING_LEFT true
#endif

proctype thread(byte me) {
  byte v, o, k, b, p, sum, heir;
  bool last;
  do
  :: atomic { LOCKS(me) && calls < USES -> calls++; busy++ };
     if
     :: me < WRITERS -> goto lock
     :: goto lock_shared
     fi;

lock:
     // takes the free word to write
     atomic {
       IS_FENCED -> assert(!gone);
       if
       :: word == 0 && count == 0 -> word = WRITER; goto has_it_to_write
       :: else
       fi
     };
     enter_hall();
     end_bias();
     take_to_write();
     if
     :: !v ->
        stands_in_line(TO_WRITE);
        do
        :: sleeps();
           take_to_write();
           if
           :: v -> break
           :: else
           fi
        od;
        leaves_line(TO_WRITE)
     :: else
     fi;
     v = 0;
     leave_hall();

has_it_to_write:
     // has it to write
     atomic {
       assert(writing == 0 && reading == 0);  // nobody else has it
       assert(THE_DATA == writes);            // it sees what the one before wrote
       writing++
     };
     // writes what it protects
     d_step { HAS_ROOM -> writes++; o = writes; store(DATA, o); o = 0 };
#ifdef OTHER
     // leaves it to another one
     if
     :: atomic { IS_FENCED -> left_to_write++ }; goto is_out
     :: skip
     fi;
#endif

unlock:
     // by CAS, if nobody waits
     atomic {
       IS_FENCED -> assert(!gone && (word & WRITER) != 0);
       if
       :: (word & (LINE | CALLED)) == 0 -> word = word & ~WRITER; released_by_writer(); goto done
       :: else
       fi
     };
     enter_hall();
     // admits the readers in line and calls who is next
     d_step {
       k = 0;
       do
       :: k < n[0] -> admitted[line[k]] = true; k++
       :: else -> break
       od;
       k = 0;
       heir = NEXT; call_heir()
     };
     // unlocks
     d_step {
       IS_FENCED;
       assert(!gone);
       word = (word & UNKNOWN) | OTHERS_OF_READER(NOBODY);
       released_by_writer()
     };
     leave_hall();
     wake_heir();
     goto done;

lock_shared:
     // looks whether there is a bias
     atomic { assert(!gone); b = bias };
     if
     :: b != 0 ->
        counts_in_window(true);
        if
        :: v -> v = 0; goto has_come_by_bias
        :: else
        fi
     :: else
     fi;
     // counts itself in the word
     atomic {
       IS_FENCED -> assert(!gone);
       count++;
       if
       :: (word & (WRITER | LINE)) == 0 -> goto has_come_by_word
       :: else
       fi
     };
     // spins
     if
     :: atomic { (word & (WRITER | LINE)) == 0 -> assert(!gone) }; goto has_it_to_read
     :: skip
     fi;
     enter_hall();
     take_to_read(1);
     if
     :: !v ->
        stands_in_line(TO_READ);
        // its count may have kept another one out
        d_step {
          if
          :: count == 0 && (word & (WRITER | UNKNOWN)) == 0 -> heir = NEXT; call_heir()
          :: else
          fi
        };
        do
        :: if
           :: heir != 0 -> leave_hall(); wake_heir(); enter_hall()
           :: else -> sleeps()
           fi;
           take_to_read(0);
           if
           :: v -> break
           :: else
           fi
        od;
        leaves_line(TO_READ);
        // calls the next reader
        d_step {
          if
          :: IS_READER_ADMITTED || n[1] == 0 -> heir = FIRST_READER; call_heir()
          :: else
          fi
        }
     :: else
     fi;
     v = 0;
     leave_hall();
     wake_heir();
     goto has_it_to_read;

has_come_by_word:
     // has it to read
     reading++;
     assert(writing == 0);
     // makes a bias
     if
     :: atomic { IS_FENCED && bias == 0 && hall == 0 -> assert(!gone); hall = me + 1 };
#ifndef KIND
        if
        :: begin_bias(0)
        :: begin_bias(1)
        fi;
#else
        begin_bias(KIND);
#endif
        leave_hall()
     :: skip
     fi;
     goto reads;

has_come_by_bias:
     // has it to read
     reading++;
#ifndef KIND
     // turns the fenced bias into a plain one
     if
     :: atomic { IS_FENCED && hall == 0 && IS_FENCED_BIAS(bias) -> assert(!gone); hall = me + 1 };
        if
        :: IS_FENCED_BIAS(bias) -> end_bias(); begin_bias(0)
        :: else
        fi;
        leave_hall()
     :: skip
     fi;
#endif
     goto reads;

has_it_to_read:
     // has it to read
     reading++;

reads:
     // no writer has it, and it sees what they wrote
     atomic { assert(writing == 0 && THE_DATA == writes); v = 0 };
#ifdef OTHER
     // leaves it to another one
     if
     :: atomic { IS_FENCED -> left_to_read++ }; goto is_out
     :: skip
     fi;
#endif

unlock_shared:
     // looks whether there is a bias
     atomic { assert(!gone); b = bias };
     if
     :: b != 0 ->
        if
        :: HAS_M(me) ->
           counts_in_window(false);
           if
           :: v -> v = 0; goto done
           :: else
           fi
        :: else -> b = 0
        fi;
        // takes one from the word in its stead
        atomic {
          IS_FENCED -> assert(!gone);
          if
          :: (word & UNKNOWN) != 0 && count > 0 -> count--; released_by_reader(); goto done
          :: else
          fi
        };
        enter_hall();
        end_bias();
        leave_hall()
     :: else
     fi;
     // subtracts itself from the word
     atomic {
       IS_FENCED -> assert(!gone && (count > 0 || (word & UNKNOWN) != 0));
       count--;
       released_by_reader();
       if
       :: count == 0 && (word & UNKNOWN) == 0 && (word & LINE) != 0
       :: else -> goto done
       fi
     };
     enter_hall();
     // calls who is next
     d_step { heir = NEXT; call_heir() };
     leave_hall();
     wake_heir();

done:
     v = 0;
     if
     :: last ->
        // destroys it
        if
        :: atomic { IS_FENCED && releases == USES -> gone = true }
#ifdef REBORN
        :: atomic { IS_FENCED && !reborn && busy == 0 && releases < USES ->
             reborn = true; word = 0; count = 0; bias = 0 }
#endif
        :: releases < USES
        fi;
        last = false
     :: else
     fi;
#ifdef OTHER
is_out:
     skip
     // takes over what was left to it
  :: atomic { left_to_write != 0 -> left_to_write-- }; goto unlock
  :: atomic { left_to_read != 0 -> left_to_read-- }; goto unlock_shared
#endif
  :: calls == USES && NOTHING_LEFT -> break
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
