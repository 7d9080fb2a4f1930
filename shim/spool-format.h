/* spool-format.h — the spool: what the shim appends and the collector reads. The only header both sides share.
 *
 * One file per session on tmpfs, DIR/NAME.spool, DIR = $XDG_RUNTIME_DIR/vcr when that is a tmpfs, else
 * /dev/shm/vcr-<uid>; DIR is 0700 and ours, files are 0600. It is a header followed by records. A process maps the header and VCR_SPOOL_NEAR bytes of records,
 * MAP_SHARED, and closes the descriptor at once; when it writes beyond those it maps VCR_SPOOL_VIRTUAL bytes.
 *
 *   offset 0                    struct vcr_spool_header (VCR_SPOOL_HEADER bytes)
 *   offset VCR_SPOOL_HEADER     record, record, … each starting at a multiple of 32 bytes
 *
 * A writer (any thread, signal handler, fork or vfork child of any process of the session)
 *   1. takes `n` bytes (record header + payload, rounded up to 32): at = fetch_add(&tail, n)
 *   2. if at + n > limit: grows the file (open, fallocate, close) and raises `limit` with a CAS-max; when that cannot be
 *      done it waits for a moment for the collector, which it rings to give room back (`vain`), or asks to grow the file (`scarce`: a process that has had to
 *      ask once does so early); then gives the range up: the record is lost, dropped_records and dropped_bytes are raised
 *   3. stores {VCR_REC_BUSY, length} in one 64-bit store, then the other fields and the payload
 *   4. stores {VCR_REC_READY, length} with release order; rings `doorbell` when the record ends a request or a process.
 *   5. may add to its FILE record of an open that made or emptied a file, until the reader has taken it, that the file was closed again: closed_ns, then
 *      a compare-and-swap of the state (READY to CLOSED). Where that fails it appends a record of its own. So a build, which makes files by the ten
 *      thousand, appends one record for each.
 *
 * A record is valid if and only if state is VCR_REC_READY or one that follows it, length <= VCR_SPOOL_MAX_RECORD, seq equals its offset, and crc is
 * the CRC-32C of the payload. The reader takes a FILE record (READY to TAKEN) before it acts upon it. The reader walks from `head`; on BUSY of a live writer it waits (bounded), on BUSY of a
 * dead one it counts a cut record and skips `length`; on 0 before `tail` it waits (bounded), then scans forward in steps
 * of 32 for the next valid record and counts what it skipped. It punches holes behind `head`. Nothing in the file is
 * trusted: lengths and offsets are checked, the reader copies before it looks. */
#ifndef VCR_SPOOL_FORMAT_H
#define VCR_SPOOL_FORMAT_H
#include <stddef.h>
#include <stdint.h>

#define VCR_SPOOL_MAGIC "VCRSPL1\n"
enum {
	VCR_SPOOL_VERSION = 4,
	VCR_SPOOL_HEADER = 80 << 10,
	VCR_SPOOL_ALIGN = 32,
	VCR_SPOOL_MAX_RECORD = 1 << 20,      /* a longer read or write is appended as several DATA records */
	VCR_SPOOL_MUTES = 4096,
	VCR_TARGETS = 64,
	VCR_SPOOL_BACKLOG = 512 << 20,       /* bytes between head and tail: writers give up while a reader is so far behind */
	VCR_NOTE_MAX = 256 << 10,            /* bytes of one annotation */
	VCR_REC_BUSY = 0x56435242,           /* "VCRB" */
	VCR_REC_READY = 0x56435252,          /* "VCRR" */
	VCR_REC_CLOSED = 0x56435243,         /* "VCRC": as READY; a FILE record, and what was opened has been closed */
	VCR_REC_TAKEN = 0x56435254,          /* "VCRT": as READY; a FILE record that the reader has */
};
#define VCR_SPOOL_VIRTUAL (64ull << 30)
#define VCR_SPOOL_LEAST (8ull << 20) /* of that, mapped by a writer whose address space is limited: at most an eighth of it */
#define VCR_SPOOL_NEAR (256ull << 10) /* by which a writer is known: others map less */
#define VCR_LOST_NOTE "an annotation was refused: " /* a LOST that begins so is about those, not about what could not be seen */
#define VCR_LOST_CHANCE ": its clock and its random bytes are its own, not the session's" /* a LOST that ends so is about that */
#define VCR_LOST_TOOLS ": what it starts is not answered from the session, and runs" /* or that, of vcr-replay --hermetic */
#define VCR_LOST_SOME_TOOLS ": of what it starts, static programs and those with an environment of their own are not answered from the session, and run" /* likewise */
#define VCR_LOST_TOOL ": it could not be answered from the session, and runs" /* likewise */

enum vcr_spool_state { VCR_SPOOL_MAKING = 0, VCR_SPOOL_OPEN = 1, VCR_SPOOL_REFUSED = 2 };
enum vcr_collector_state { VCR_COLLECTOR_NONE = 0, VCR_COLLECTOR_STARTING = 1, VCR_COLLECTOR_RUNNING = 2, VCR_COLLECTOR_ENDED = 3 };
/* How the collector waits. It dozes for some milliseconds after it has read something: what can wait so long, as processes and files that come by the thousand,
 * does not wake it. What has to be acted upon at once rings in any case. */
enum vcr_sleep { VCR_AWAKE = 0, VCR_ASLEEP = 1, VCR_DOZING = 2 };
enum vcr_spool_flag {
	VCR_SPOOL_CAPTURE_ALL = 1,           /* every HTTP exchange; and, where `standin` names it, what tools print */
	VCR_SPOOL_BY_RECORD = 2,             /* vcr-record made it and started the collector */
	VCR_SPOOL_LEAD_ONLY = 4,             /* vcr-replay: nothing but PROC, LOST and REFUSED is appended */
	VCR_SPOOL_ANSWERS = 8,               /* vcr-replay --hermetic: `standin` answers in a tool's place; else it keeps what the tool prints */
};

/* How model calls are recorded. NOT_KNOWN: nobody has looked into .vcr/config yet (a bare preload). AUTO and GATE: a gate that is not there is
 * started by the first process that needs it (shim/gate.c). */
enum vcr_lane { VCR_LANE_NOT_KNOWN = 0, VCR_LANE_TAP = 1, VCR_LANE_AUTO = 2, VCR_LANE_GATE = 3 };

/* ---- The gate: where connections to model hosts are led ----
 *
 * Whoever starts a gate stores STARTING, the gate its pid and start time as soon as it lives; it fills the block, then stores READY in `state` and wakes it; ENDED is the last word. From then on
 *   - a name that `hosts` lists resolves to 127.77.0.<1 + index in `name`>: an address that stands for the name, the same one in all processes of
 *     the session, with no question to any server;
 *   - a connect() to such an address, to a listed address, or to the proxy of the program's environment goes to the gate's port;
 *   - before the program can send anything, led[] says for the connection's local port where it was meant to go. The gate looks there when the
 *     first bytes of a connection come, and takes the word away. The bytes themselves are untouched.
 *   - before a connection to a host the shim asks, on a connection of its own, whether the gate can reach it: led as that of a proxy, CONNECT (shim/ask.c).
 * Every process of the session can write here, so both sides copy what they read, bound it, and check it. */
enum {
	VCR_LEAD_HOSTS = 6144,               /* bytes of `hosts` */
	VCR_LEAD_NAMES = 96,
	VCR_LEAD_NAME = 124,                 /* bytes of a name, with its NUL */
	VCR_LEAD_PORTS = 1024,
	VCR_LEAD_PROBE = 8,                  /* led[(port + 0 ... VCR_LEAD_PROBE - 1) % VCR_LEAD_PORTS]; full: the first is given up */
	VCR_LEAD_PATH = 512,
	VCR_LEAD_TOKEN = 64,
	VCR_LEAD_ADDRESSES = 128,            /* address[(port + 0 ... VCR_LEAD_PROBE - 1) % VCR_LEAD_ADDRESSES] */
	VCR_LEAD_LATE = 32,
	VCR_LEAD_REACHES = 32,
	VCR_HOLD_MS = 2000,                  /* the gate keeps an answer back until the request has been acted upon (`acted`), so long at most */
};
enum vcr_lead_state { VCR_LEAD_NONE = 0, VCR_LEAD_STARTING = 1, VCR_LEAD_READY = 2, VCR_LEAD_ENDED = 3 };
enum vcr_lead_flag {
	VCR_LEAD_REPLAY = 1,                 /* nothing may leave this machine: what is not led or loopback is refused and said (REFUSED); deterministic recordings too */
	VCR_LEAD_V6 = 2,                     /* it listens on ::1, same port, too */
	VCR_LEAD_UNTAPPED = 4,               /* lead only programs whose plaintext no hook sees (Bun) */
};
enum vcr_lead_name_state { VCR_LEAD_NAME_FREE = 0, VCR_LEAD_NAME_BUSY = 1, VCR_LEAD_NAME_SET = 2 };
struct vcr_lead_name {
	uint32_t state;               /* enum vcr_lead_name_state; a name that is set stays */
	char text[VCR_LEAD_NAME];     /* lower case, or an address; no port */
};
/* A word of led[]: 0 free, else
 *   bits 0-15 local port, 16 over IPv6, 17 the goal is the user's HTTP proxy, 18-24 index in `name`, 25-40 port that was meant,
 *   41-62 the process that connected, 63 set */
#define VCR_LED_SET (1ull << 63)
#define VCR_LED_KEY 0x1ffffull
#define VCR_LED_V6 (1ull << 16)
#define VCR_LED_PROXY (1ull << 17)
#define VCR_LED_NAME_SHIFT 18
#define VCR_LED_NAME_MASK 0x7f
#define VCR_LED_PORT_SHIFT 25
#define VCR_LED_PORT_MASK 0xffff
#define VCR_LED_PID_SHIFT 41
#define VCR_LED_PID_MASK 0x3fffff
/* A connection of which only the address is known that it was meant for: one that the supervisor led (lib/supervise.h), or gRPC's where late[] or `name` is full. */
struct vcr_lead_address {
	uint32_t key;                 /* local port, VCR_LED_V6 and VCR_LED_KNOWN, the latter set last; 0: free */
	int32_t pid;
	uint8_t ip[16];               /* an IPv4 address in its mapped form */
	uint32_t port;
	uint32_t alone;               /* not 0: be it this machine's, what is said first tells whose it is */
};
#define VCR_LED_KNOWN (1u << 31)
/* A word of late[]: 0 free (a table that is full stays so), else a program that is led with VCR_LEAD_UNTAPPED too, to one place, since its TLS was heard by no hook there (shim/late.c)
 *   bits 0-31 CRC-32C of its path, 32-38 index in `name` (a host or an address), 40-55 port, 60 it has accepted the gate's certificate, 61 a first connection
 *   was led and the others wait for what comes of it, 62 it has refused that certificate and is not led any more, 63 set. The gate sets 60 and 62. */
#define VCR_LATE_SET (1ull << 63)
#define VCR_LATE_REFUSED (1ull << 62)
#define VCR_LATE_TRIED (1ull << 61)
#define VCR_LATE_TRUSTED (1ull << 60)
#define VCR_LATE_NAME_SHIFT 32
#define VCR_LATE_PORT_SHIFT 40
struct vcr_lead_block {
	uint32_t state;               /* enum vcr_lead_state; futex word */
	uint32_t flags;               /* enum vcr_lead_flag */
	int32_t pid;                  /* of the gate, in the pid namespace with inode `pid_ns` */
	uint32_t port;                /* on 127.0.0.1 */
	uint64_t start;               /* its start time, as root_start */
	uint64_t pid_ns;
	uint64_t went_direct;         /* connections of model hosts that found no gate any more */
	uint64_t lent;                /* programs that were lent it (shim/lend.c): one that dies is started again, on the same port with the same token */
	uint64_t refused;             /* replay: connects, datagrams and look-ups that were refused */
	char token[VCR_LEAD_TOKEN];   /* for programs that are pointed at the gate by variables */
	char ca[VCR_LEAD_PATH];       /* paths, PEM: our certificate; system roots, the user's and ours; the user's NODE_EXTRA_CA_CERTS and ours */
	char bundle[VCR_LEAD_PATH], extra[VCR_LEAD_PATH];
	char hosts[VCR_LEAD_HOSTS];   /* NUL-terminated texts, an empty one last: name, *.suffix, pattern of * and ?, address; with :port for that port alone */
	struct vcr_lead_name name[VCR_LEAD_NAMES];
	_Alignas(64) uint64_t led[VCR_LEAD_PORTS];
	struct vcr_lead_address address[VCR_LEAD_ADDRESSES];
	uint64_t late[VCR_LEAD_LATE]; /* the first 0 ends it */
	uint64_t reach[VCR_LEAD_REACHES]; /* by index in `name`, modulo: whether the gate could connect there when it was last asked (shim/ask.c) */
	uint32_t troubles;            /* hosts that the gate could not connect to: what reach[] says that it can is asked for anew */
};

/* ---- Pre-images: what the shim keeps before a file goes or changes (lib/preimage.h has the store) ----
 *
 * Only what no savepoint holds and what has not changed since the newest one began: files above `larger` bytes and files in the directories that `heavy` lists,
 * `all` files where there are too many of both. The collector writes it, but for the counters. */
enum { VCR_KEEP_DIR = 640, VCR_KEEP_HEAVY = 2048, VCR_KEEP_COPY = 64 << 20 /* bytes that are copied on a program's thread */,
	VCR_KEEP_SMALL = 1 << 20 /* and to memory, as long as there is room */ };
struct vcr_keep_block {
	int64_t since_ns;             /* real time at which the newest savepoint began; 0: nothing is kept */
	int64_t larger;
	int64_t room;                 /* bytes that may still be kept; writers take from it */
	uint64_t kept, refused;       /* files: kept, and not for want of room */
	uint32_t all;
	uint32_t heavy_bytes;         /* that are set of `heavy`; only grows */
	char dir[VCR_KEEP_DIR];       /* absolute, on the workspace's file system; set before since_ns */
	int64_t small_room;           /* bytes that may still be copied to `small`; writers take from it, the collector gives back what it took to the disk */
	char small[VCR_KEEP_DIR];     /* absolute, in memory; "" there is none; set before since_ns */
	char heavy[VCR_KEEP_HEAVY];   /* relative to the workspace, each NUL-terminated */
};

enum { VCR_SPOOL_DROPPED = 64 };
struct vcr_spool_dropped { int32_t pid; uint32_t records; };

enum { VCR_SPOKEN = 64 /* the process numbers of `spoke`; full: one is given up */, VCR_SPOKE_UNNAMED = -1 /* in there: one whose number was not known when it was lent the gate */ };

/* How this machine's CRC-32C is made. */
enum vcr_crc_how { VCR_CRC_NOT_KNOWN = 0, VCR_CRC_TABLE = 1, VCR_CRC_MACHINE = 2 /* by an instruction */ };

/* All counters are native-endian and changed with atomic operations. Groups that different sides write are on
 * separate cache lines. */
struct vcr_spool_header {
	/* What every process looks at as it begins stands on the first page: each further one would cost it more than most system calls. */
	char magic[8];
	uint32_t version;
	uint32_t state;               /* enum vcr_spool_state; futex word while MAKING */
	uint32_t flags;               /* enum vcr_spool_flag */
	int32_t root_pid;             /* the first process of the session */
	uint64_t root_start;          /* its start time, field 22 of /proc/PID/stat */
	uint64_t real_ns, mono_ns;    /* CLOCK_REALTIME and CLOCK_MONOTONIC read together at creation */
	char session[128];            /* session id, NUL-terminated */
	uint32_t crc;                 /* enum vcr_crc_how; for processes with the same AT_HWCAP (getauxval(3)), and not in an emulator of an older processor */
	uint64_t hwcap;
	char workspace_near[256];     /* workspace, where it is no longer than that; else "" */
	/* Programs that a process starts once it has spoken to a model, tools, are started through this one (tools/vcr-standin.c): a path; "" : they are not.
	 * What it keeps goes into the directory `stood`; what it answers it asks for at the socket of that name. */
	char standin[400], stood[400];

	_Alignas(64) uint64_t tail;   /* offset of the next record to be taken; writers */
	_Alignas(64) uint64_t limit;  /* bytes of the file that exist; writers and collector grow it */
	_Alignas(64) uint64_t head;   /* the collector has consumed everything before */
	uint64_t acted;               /* it has looked at everything before, and taken the savepoints of the calls there */
	uint32_t collector;           /* enum vcr_collector_state; futex word */
	int32_t collector_pid;
	uint32_t base_ready;          /* 1: the start scan is complete; futex word */
	uint32_t wanted;              /* something worth recording happened: whoever can starts the collector */
	uint64_t base_deadline_ns;    /* CLOCK_MONOTONIC: nobody waits for base_ready any longer */
	uint32_t lane;                /* enum vcr_lane; once it is known it stays */
	uint32_t users;               /* processes that joined and have not left in an orderly way; the last one removes a spool that was never wanted */
	_Alignas(64) uint32_t doorbell;   /* futex word: raised by writers, waited on by the collector */
	uint32_t sleeping;            /* enum vcr_sleep: a writer makes the futex call only if it is of use */
	_Alignas(64) uint32_t next_conn;  /* connection numbers, from 1 */
	uint32_t renames;             /* goes on with each name that is changed and each directory that goes: paths of open directories may not hold */
	uint32_t strangers;           /* 1: a program was started that could change names without saying so */
	_Alignas(64) uint64_t dropped_records, dropped_bytes; /* what writers could not append */
	uint64_t vain;                /* a writer without room has waited for the collector to go on from there (`head`), and it did not */
	_Alignas(64) uint64_t targets[VCR_TARGETS]; /* what is known of programs' files (shim/elf.c) */
	_Alignas(64) struct vcr_lead_block gate; /* of which the first words are on that page still */

	char start_dir[4096];         /* cwd of the root at creation */
	char workspace[4096];         /* git top level of start_dir, else start_dir; no trailing slash */
	char vcr_dir[4096];           /* where the session file goes (made by the collector) */
	_Alignas(64) uint32_t mute[VCR_SPOOL_MUTES]; /* mute[conn % VCR_SPOOL_MUTES] == conn: do not record its bytes */
	_Alignas(64) uint32_t acted_bell; /* futex word: raised with `acted` while somebody holds an answer back for it */
	uint32_t held;                /* somebody does */
	uint64_t clean;               /* when the gate's CONN record that ends here was looked at, no file had changed since the savepoint before */
	uint32_t sentinel;            /* enum vcr_sentinel, as vcr-record was told */
	uint64_t judged;              /* what was written before a model call that began before has been judged (lib/recorder-sentinel.c) */
	struct vcr_keep_block keep;
	/* Process numbers in here, root_pid too, are those of the pid namespace with that inode; 0: the collector's own. Then the first process has another one out there. */
	uint64_t pid_ns;
	int32_t root_outside;
	/* Processes that have made a request by the gate, as far as it knows them; a child of one that the library cannot enter finds its parent there, and is a tool. */
	int32_t spoke[VCR_SPOKEN];
	/* Whose the dropped records were, the first 0 ends it; those of more processes are in dropped_records alone. */
	struct vcr_spool_dropped dropped[VCR_SPOOL_DROPPED];
	_Alignas(64) uint32_t scarce; /* futex word: raised by a writer that cannot make the file longer itself where it will soon end */
};

/* A process could not append so many records, of so many bytes. pid 0: nobody knows which. */
static inline void vcr_spool_drop(struct vcr_spool_header *h, int32_t pid, uint32_t records, uint64_t bytes)
{
	__atomic_fetch_add(&h->dropped_records, records, __ATOMIC_RELAXED);
	__atomic_fetch_add(&h->dropped_bytes, bytes, __ATOMIC_RELAXED);
	for (int i = 0; pid && i < VCR_SPOOL_DROPPED; i++) {
		int32_t whose = 0;
		if (__atomic_compare_exchange_n(&h->dropped[i].pid, &whose, pid, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED) || whose == pid) {
			__atomic_fetch_add(&h->dropped[i].records, records, __ATOMIC_RELAXED);
			return;
		}
	}
}

/* What is done about the code that is written. */
enum vcr_sentinel { VCR_SENTINEL_OFF = 0, VCR_SENTINEL_OBSERVE = 1, VCR_SENTINEL_WARN = 2, VCR_SENTINEL_BLOCK = 3, VCR_SENTINEL_STOP = 4 };

enum vcr_record_type {
	/* a process was loaded (constructor) or first spoke: payload struct vcr_rec_proc + strings */
	VCR_REC_PROC = 1,
	VCR_REC_FORK = 2,     /* in the child of fork(): payload int32 parent pid */
	VCR_REC_EXEC = 3,     /* about to exec, or a spawn returned: struct vcr_rec_exec + strings */
	VCR_REC_EXIT = 4,     /* a process ended, as its parent's wait or it itself said: struct vcr_rec_exit */
	VCR_REC_CONN = 5,     /* a connection begins: struct vcr_rec_conn + strings; `conn` is set from here on */
	VCR_REC_OUT = 6,      /* bytes the program sent (plaintext), the record's time is before the call */
	VCR_REC_IN = 7,       /* bytes the program received, time is after the call */
	VCR_REC_CLOSE = 8,    /* the connection ended: int32 reason (0 close, 1 eof, else errno; EPROTO: the bytes ended without TLS's close_notify) */
	VCR_REC_FILE = 9,     /* a file mark: struct vcr_rec_file + strings */
	VCR_REC_NOTE = 10,    /* annotation: JSON text, VCR_NOTE_MAX bytes at most; empty: read on in the file of $VCR_ANNOTATE */
	VCR_REC_LOST = 11,    /* the shim could not see something: text reason */
	VCR_REC_ROOT_END = 12,/* the root process is about to exit */
	VCR_REC_TOLD = 15,    /* what the gate put into that connection's request behind the program's back: JSON text */
	VCR_REC_SEEN = 14,    /* the supervisor meets a process that the library is not in: struct vcr_rec_proc + strings, without variables */
	VCR_REC_REFUSED = 13, /* replay let it not out: struct vcr_rec_refused + destination. Once per process and destination */
};

struct vcr_spool_record {     /* 64 bytes, then `size` bytes of payload, then padding */
	uint32_t state;       /* VCR_REC_BUSY, VCR_REC_READY or one that follows it */
	uint32_t length;      /* whole record, multiple of 32 */
	uint64_t seq;         /* its own offset in the file */
	uint64_t time_ns;     /* CLOCK_MONOTONIC */
	uint32_t type;        /* enum vcr_record_type */
	uint32_t crc;         /* CRC-32C (Castagnoli) of the payload */
	int32_t pid, tid;
	uint32_t conn;        /* 0 if none */
	uint32_t size;        /* payload bytes */
	uint64_t closed_ns;   /* of CLOSED: when that was */
	uint64_t reserved;
};

/* Strings of a payload follow the struct, each NUL-terminated, in the order given. A string that does not fit is cut. */
struct vcr_rec_proc {         /* + exe path, cwd, then argc arguments, then NAME=VALUE of its environment where the name sounds like a secret's */
	int32_t ppid;
	uint32_t argc;
};
enum { VCR_EXEC_TOOL = 0x100, VCR_EXEC_EARLY = 0x200 }; /* or-ed into `kind`: through the stand-in; the latter where it is not known yet whether that is a tool */
enum vcr_exec_kind { VCR_EXEC_REPLACE = 0 /* exec: this pid becomes it */, VCR_EXEC_SPAWN = 1 /* a child was made */, VCR_EXEC_FAILED = 2 /* the exec announced before failed */ };
/* So many arguments, each with its NUL, are told at most; the first that passes VCR_EXEC_BYTES is not, nor those behind it. */
enum { VCR_EXEC_ARGS = 96, VCR_EXEC_BYTES = 64 << 10 };
struct vcr_rec_exec {         /* + program path as given, cwd, then argc arguments */
	int32_t child;        /* pid that runs it */
	uint32_t kind;        /* enum vcr_exec_kind | VCR_EXEC_TOOL */
	int32_t error;        /* errno for VCR_EXEC_FAILED; for VCR_EXEC_REPLACE in a vfork child, which has said nothing before, its parent */
	uint32_t argc;
};
enum vcr_exit_source { VCR_EXIT_WAIT = 0, VCR_EXIT_SELF = 1 };
struct vcr_rec_exit {
	int32_t child;
	int32_t status;       /* as waitpid(2) reports it */
	uint32_t source;
};
enum vcr_conn_kind { VCR_CONN_TLS = 1, VCR_CONN_PLAIN = 2, VCR_CONN_UNIX = 3, VCR_CONN_PIPE = 4 /* JSON-RPC on its standard input and output: IN asks it, OUT answers */ };
struct vcr_rec_conn {         /* + server name (SNI, may be empty; of PIPE what the input is, device:number), peer "address:port" (may be empty) */
	uint32_t kind;
	int32_t fd;           /* -1 if none, VCR_CONN_BY_GATE: the gate says it; VCR_CONN_RELAYED: likewise, and requests on it come when they come */
};
enum { VCR_CONN_BY_GATE = -2, VCR_CONN_RELAYED = -3 };
enum vcr_file_op {
	VCR_FILE_OPEN = 1,    /* opened for writing; flags = open(2) flags. A dirty mark: content comes later */
	VCR_FILE_WRITE = 2,   /* first write on such a descriptor since the last mark */
	VCR_FILE_CLOSE = 3,
	VCR_FILE_RENAME = 4,  /* path -> path2 */
	VCR_FILE_UNLINK = 5,
	VCR_FILE_LINK = 6,    /* path2 is a new name of path (flags 1: symlink with target path) */
	VCR_FILE_TRUNCATE = 7,
	VCR_FILE_MKDIR = 8,
	VCR_FILE_RMDIR = 9,
	VCR_FILE_MODE = 10,   /* chmod and kin; flags = mode */
	VCR_FILE_EXCHANGE = 11,/* renameat2 RENAME_EXCHANGE */
	VCR_FILE_DEEP = 12,   /* any of these in the workspace where names are longer than the kernel tells; path: the nearest directory above that it tells, empty: not known.
	                       * Of a rename or a link that has one such name, there is a record of it before, with that name empty */
};
struct vcr_rec_file {         /* + path, path2 (empty unless named above), both absolute or from the workspace on; the last component is never resolved */
	uint32_t op;
	uint32_t flags;
	int32_t fd;
	uint32_t existed;     /* 1 if the path was there before the call, 0 if not, 2 unknown */
};

enum vcr_refused_kind { VCR_REFUSED_TCP = 1, VCR_REFUSED_DATAGRAM = 2, VCR_REFUSED_LOOKUP = 3 };
struct vcr_rec_refused {      /* + "address:port", or the name that was looked up */
	uint32_t kind;
	int32_t error;        /* errno, or the EAI_ code of a look-up */
};

/* Environment of a process of the session (hidden from the program itself by the constructor):
 *   VCR_SPOOL=<flags>:<path of the spool>    flags: letters "p" we (not the user) put LD_PRELOAD there, "j" who started the program has
 *                                            counted it in header.users already, "t" the program is a tool, or within one, "s" it reads its environment from the stack, where all stays (Go),
 *                                            "n" the path it was started by leads to it and to no script, "-" nothing
 *   VCR_LENT=<what was lent and what was before>    see lend.c */
#define VCR_ENV_SPOOL "VCR_SPOOL"
#define VCR_ENV_LENT "VCR_LENT"

_Static_assert(sizeof(struct vcr_spool_record) == 64, "record header");
_Static_assert(sizeof(struct vcr_spool_header) <= VCR_SPOOL_HEADER, "spool header");
_Static_assert(offsetof(struct vcr_spool_header, gate.hosts) - sizeof(((struct vcr_lead_block *)0)->ca) < 4096, "its first page");

#endif
