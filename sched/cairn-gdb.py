# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The Cairn authors
"""Goroutines in gdb, of live processes and of core files.

    info goroutines          all of them: id, state, function
    goroutine ID COMMAND     a command of gdb in the place of one: goroutine 7 bt, goroutine 7 info locals
    goroutine all COMMAND    in the place of each: goroutine all bt

A goroutine that runs has a thread, which is selected for the command. One that does not is somewhere else than in the
registers of any thread, and a core file's registers cannot be changed; so the unwinder below says of the selected
thread's innermost frame that it was called from where the goroutine stands, for as long as the command takes.

What to read where is told by the table cairn_gdb_layout (sched/inspect.cc), so neither the program nor the library need
have been compiled with -g.
"""

import re

import gdb
import gdb.unwinder

LAYOUT = (
    "version", "segments", "segment_count", "segment_records", "record_bytes", "sp", "high", "status", "why", "id",
    "running_on", "thread_locks", "is_frozen", "became", "function", "names", "name_count", "context_bytes",
    "saved_pc", "saved_fp", "fresh_pc", "thread_id", "thread_state",
)
VERSION = 1
FREE, RUNNABLE, RUNNING, WAITING = range(4)
IN_RUNTIME = (2, 3, 4)  # of m_state: its thread waits in the kernel, or for the runtime


def read(address, size):
    return int.from_bytes(gdb.selected_inferior().read_memory(address, size).tobytes(), "little")


def word(address):
    return read(address, 8)


def layout():
    try:
        base = int(gdb.parse_and_eval("(long)&cairn_gdb_layout"))
        table = {name: word(base + 8 * i) for i, name in enumerate(LAYOUT)}
    except gdb.error as error:
        raise gdb.GdbError("this program does not use Cairn, or has not been started: %s" % error)
    if table["version"] != VERSION:
        raise gdb.GdbError("this script is for another version of the library")
    return table


def registers():
    """Names of the ones that an unwinder starts from: pc, sp, fp."""
    architecture = gdb.execute("show architecture", to_string=True)
    return ("pc", "sp", "x29") if "aarch64" in architecture else ("rip", "rsp", "rbp")


class Goroutine:
    def __init__(self, at, address):
        self.at, self.address = at, address
        self.id = self.word("id")
        self.status = self.byte("status")
        self.thread = self.word("running_on")
        self.stack = self.word("sp")
        saved = self.stack
        self.pc = self.sp = self.fp = 0
        if not self.thread and self.word("high") and saved:
            self.pc, self.fp = word(saved + at["saved_pc"]), word(saved + at["saved_fp"])
            self.sp = saved + at["context_bytes"]
            if self.pc == at["fresh_pc"]:
                self.pc = 0

    def word(self, field):
        return word(self.address + self.at[field])

    def byte(self, field):
        return read(self.address + self.at[field], 1)

    def tid(self):
        return read(self.thread + self.at["thread_id"], 4) if self.thread else 0

    def state(self):
        if self.status == WAITING:
            why = self.byte("why")
            name = gdb.Value(word(self.at["names"] + 8 * min(why, self.at["name_count"] - 1)))
            text = name.cast(gdb.lookup_type("char").pointer()).string()
        elif self.byte("is_frozen"):
            text = "runnable, frozen"
        elif self.status == RUNNABLE:
            text = "runnable"
        else:
            inside = self.thread and read(self.thread + self.at["thread_state"], 4) in IN_RUNTIME
            text = "syscall" if inside else "running"
        if read(self.address + self.at["thread_locks"], 4):
            text += ", locked to thread"
        return text

    def begins_with(self):
        """The function of one that has not begun."""
        closure = self.word("function")
        return word(closure) if closure else 0


def goroutines():
    at = layout()
    for s in range(word(at["segment_count"])):
        segment = word(at["segments"] + 8 * s)
        statuses = gdb.selected_inferior().read_memory(segment, at["segment_records"] * at["record_bytes"]).tobytes()
        for i in range(at["segment_records"]):
            if statuses[i * at["record_bytes"] + at["status"]] == FREE:
                continue
            g = Goroutine(at, segment + i * at["record_bytes"])
            if g.byte("became") == 0:
                yield g


class FrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = sp, pc


class Elsewhere(gdb.unwinder.Unwinder):
    """Says that the frame at (pc, sp) was called from where a goroutine stands."""

    def __init__(self):
        super().__init__("cairn-goroutine")
        self.goroutine = None

    def __call__(self, frame):
        if self.goroutine is None:
            return None
        names = registers()
        pc, sp, fp = (frame.read_register(name) for name in names)
        if (int(pc), int(sp)) != self.caller:
            return None
        # Frames have to lie one above the other, so this one is said to lie below the goroutine's.
        info = frame.create_unwind_info(FrameId(gdb.Value(self.goroutine.sp - 1024).cast(sp.type), pc))
        for name, old, new in zip(names, (pc, sp, fp), (self.goroutine.pc, self.goroutine.sp, self.goroutine.fp)):
            info.add_saved_register(name, gdb.Value(new).cast(old.type))
        return info

    def enter(self, goroutine):
        frame = gdb.newest_frame()
        names = registers()
        self.caller = (int(frame.read_register(names[0])), int(frame.read_register(names[1])))
        self.goroutine = goroutine
        gdb.invalidate_cached_frames()

    def leave(self):
        self.goroutine = None
        gdb.invalidate_cached_frames()


elsewhere = Elsewhere()
gdb.unwinder.register_unwinder(None, elsewhere, replace=True)


def select_thread(tid):
    for thread in gdb.selected_inferior().threads():
        if tid in thread.ptid[:2] and tid == (thread.ptid[1] or thread.ptid[0]):
            thread.switch()
            return True
    return False


class Place:
    """The goroutine's place as the selected frame, until the end of the block."""

    def __init__(self, goroutine):
        self.goroutine = goroutine
        self.level = 0  # of its innermost frame

    def __enter__(self):
        self.thread, self.frame = gdb.selected_thread(), gdb.selected_frame()
        g = self.goroutine
        if g.thread:
            if not select_thread(g.tid()):
                raise gdb.GdbError("goroutine %d: its thread, %d, is not there" % (g.id, g.tid()))
            gdb.newest_frame().select()
            return self
        if not g.pc:
            raise gdb.GdbError("goroutine %d has not begun" % g.id)
        gdb.newest_frame().select()
        elsewhere.enter(g)
        frame = gdb.newest_frame()
        while frame is not None and frame.pc() != g.pc:
            frame = frame.older()
            self.level += 1
        if frame is None:
            elsewhere.leave()
            raise gdb.GdbError("goroutine %d: gdb does not get there" % g.id)
        frame.select()
        return self

    def __exit__(self, *_):
        if not self.goroutine.thread:
            elsewhere.leave()
        self.thread.switch()
        try:
            self.frame.select()
        except gdb.error:
            gdb.newest_frame().select()


def function_of(goroutine):
    """The innermost function that is not the scheduler's."""
    if not goroutine.thread and not goroutine.pc:
        symbol = gdb.execute("info symbol %d" % goroutine.begins_with(), to_string=True)
        return "not begun: " + symbol.split(" in section")[0]
    with Place(goroutine):
        frame = gdb.selected_frame()
        while frame is not None:
            name = frame.name() or "?"
            if not name.startswith("cairn::sched::") or frame.older() is None:
                return name
            frame = frame.older()
    return "?"


class InfoGoroutines(gdb.Command):
    """List all goroutines: * before those of the selected thread, id, state, function."""

    def __init__(self):
        super().__init__("info goroutines", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        selected = gdb.selected_thread()
        if selected is None:
            raise gdb.GdbError("no process and no core file")
        for g in goroutines():
            mark = "*" if g.thread and g.tid() == (selected.ptid[1] or selected.ptid[0]) else " "
            try:
                function = function_of(g)
            except (gdb.GdbError, gdb.error) as error:
                function = "(%s)" % error
            print("%s %d [%s] %s" % (mark, g.id, g.state(), function.strip()))


def backtrace_from(level, arguments):
    """bt without the frames below `level`."""
    arguments = re.sub(r"(?<![-\w])(\d+)", lambda n: str(int(n.group(1)) + level), arguments)
    keep = False
    for line in gdb.execute("backtrace " + arguments, to_string=True).splitlines():
        frame = re.match(r"#(\d+)(\s+)(.*)", line)
        if frame is None:
            if keep:
                print(line)
            continue
        keep = int(frame.group(1)) >= level
        if keep:
            print("#%-3d%s" % (int(frame.group(1)) - level, frame.group(3)))


class GoroutineCommand(gdb.Command):
    """goroutine ID COMMAND: a command of gdb in the place of a goroutine; "all" for each of them."""

    def __init__(self):
        super().__init__("goroutine", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        match = re.match(r"(all|\d+)\s+(.+)", argument)
        if match is None:
            raise gdb.GdbError("usage: goroutine ID COMMAND, as in goroutine 7 bt, or goroutine all bt")
        which, command = match.groups()
        found = [g for g in goroutines() if which == "all" or g.id == int(which)]
        if not found:
            raise gdb.GdbError("there is no goroutine %s" % which)
        for g in found:
            if which != "all":
                self.run(g, command)
                continue
            print("goroutine %d [%s]:" % (g.id, g.state()))
            try:
                self.run(g, command)
            except (gdb.GdbError, gdb.error) as error:
                print(error)
            print()

    @staticmethod
    def run(goroutine, command):
        backtrace = re.match(r"(?:bt|backtrace|where)\b(.*)", command)
        with Place(goroutine) as place:
            if backtrace:
                backtrace_from(place.level, backtrace.group(1))
            else:
                gdb.execute(command)


InfoGoroutines()
GoroutineCommand()
