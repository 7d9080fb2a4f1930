/* shim.h — state and calls that the families of hooks share inside libvcrshim.so.
 *
 * Rules of the house: the host is a stranger's program. Nothing here allocates, locks, prints, exits or keeps a descriptor;
 * nothing is held across an original call (a siglongjmp or a cancelled thread would leave it held); state is changed by
 * single atomic operations, because a signal handler, a thread and a vfork child may stand in the same function.
 * When something fails the shim turns transparent and counts what it lost in the spool's header. */
#ifndef VCR_SHIM_H
#define VCR_SHIM_H
#include <errno.h>
#include <limits.h>
#include <linux/limits.h> /* PATH_MAX, where a limits.h of a project hides the system's: tools use elf.c */
#include <stdbool.h>
#include <string.h>
#include "hooks.h"
#include "raw.h"
#include "spool-format.h"

/* Of a variable that every process touches as it begins: they stand beside each other, on a page that the loader has written to anyway. */
#define VCR_HOT __attribute__((section(".data")))
/* Of a function that every process calls as it begins or ends: likewise, in the text. */
#define VCR_EARLY __attribute__((hot))
#define vcr_likely(x) __builtin_expect(!!(x), 1)
#define vcr_unlikely(x) __builtin_expect(!!(x), 0)
#define vcr_load(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define vcr_store(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

/* ---- init.c: the process ---- */
/* Letters of VCR_SPOOL, spool-format.h. */
enum vcr_env_flag { VCR_ENV_INSERTED = 1 /* p */, VCR_ENV_COUNTED = 2 /* j */, VCR_ENV_STACK = 4 /* s */, VCR_ENV_WITHIN = 8 /* t */, VCR_ENV_NAMED = 16 /* n */ };
struct vcr_process {
	uint32_t ready;               /* 0 not yet, 1 being made, 2 made, 3 off: transparent for good */
	int32_t pid;                  /* the process this memory belongs to; another getpid() is a vfork or raw clone child */
	int32_t image;                /* the process that was loaded; its fork children find it here too */
	uint32_t said;                /* its PROC record is written */
	uint32_t sandboxed;           /* it has installed a seccomp filter: make no system call of our own any more */
	uint32_t joined;              /* counted in header.users */
	uint32_t first_conn;          /* connections below this number belong to the process that forked us */
	bool root;                    /* loaded without a session: the spool may have to be made by us or a fork child */
	int32_t root_pid;
	bool extra_ca;                /* it takes a further CA from NODE_EXTRA_CA_CERTS (node, Bun); known only where there is a gate */
	bool bundle_ca;               /* … from SSL_CERT_FILE instead of the system's: a Python whose OpenSSL is linked in and not exported */
	bool late;                    /* it was lent the gate's certificate in the midst of its run (late.c) */
	bool unled;                   /* it could not be made to trust the gate: its connections go their own way */
	bool untapped;                /* … and its TLS is seen by no hook (Bun; a node that could not be tapped) */
	int32_t lender;               /* the program that is not entered, and was lent what is found here (vcr_lend_whom) */
	bool named;                   /* the name it was started by is no script's and leads to it */
	bool within;                  /* it is a tool, or within one: what it starts is covered by that */
	bool forked;                  /* has fork children, which may have made the spool meanwhile */
	char session[32];
	/* Texts stand packed in one place (vcr_keep): a process that does nothing of interest touches one page of them. */
	const char *spool_path, *start_dir, *workspace, *vcr_dir;
	size_t workspace_length;      /* 0 for "/" */
	const char *library;          /* ours, absolute */
	const char *env_preload;      /* the entry for children */
	const char *library_name;     /* last component */
	const char *companion;        /* libvcrdeterm.so, absolute: it was preloaded behind us, and goes with us; NULL: no */
	const char *notes_path;       /* the file of $VCR_ANNOTATE; NULL: none */
};
extern struct vcr_process vcr_self;
void vcr_init_slow(void);
/* Make the process's state if that has not happened: hooks may be called before our constructor. False: stay transparent. */
static inline bool vcr_ready(void)
{
	if (vcr_unlikely(vcr_load(&vcr_self.ready) == 0))
		vcr_init_slow();
	return vcr_load(&vcr_self.ready) == 2;
}
/* A vfork child or a raw clone: its memory may be its parent's, so process state is left alone. */
static inline bool vcr_guest(void) { return !vcr_self.sandboxed && raw_getpid() != vcr_self.pid; }
extern uint32_t vcr_sharers; /* proc.c: vfork children that are there, and for good each child of clone and its kin */
/* The same, and the kernel is asked only while there can be one. Not of a child that is made by a system call instruction of the program's own. */
static inline bool vcr_guest_seen(void) { return vcr_unlikely(vcr_load(&vcr_sharers)) && vcr_guest(); }

extern void *vcr_originals[VCR_HOOK_COUNT];
void *vcr_resolve(enum vcr_hook hook);
/* What a child that has our memory calls: dlsym takes the loader's lock, which is better not left by one that is killed. */
void vcr_resolve_for_child(void);
/* Before a module is loaded: its constructor, which runs under that lock, may wait for a thread that calls them for the first time. */
void vcr_resolve_libc(void);
static inline void *vcr_original(enum vcr_hook hook)
{
	void *p = __atomic_load_n(&vcr_originals[hook], __ATOMIC_RELAXED);
	return vcr_likely(p) ? p : vcr_resolve(hook);
}
/* The original of a libc hook, with its type. */
#define VCR_REAL(name) ((__typeof__(&name))vcr_original(VCR_HOOK_##name))

/* CLOCK_MONOTONIC. */
uint64_t vcr_now(void);

/* ---- spool.c: appending ---- */
enum vcr_spool_how { VCR_JOIN, VCR_MAKE };
/* The session's header, mapped; NULL when there is none (VCR_JOIN: nobody has made it) or it cannot be had. */
struct vcr_spool_header *vcr_spool(enum vcr_spool_how how);
/* The header if this process has it mapped already. */
struct vcr_spool_header *vcr_spool_mapped(void);
struct vcr_piece { const void *data; size_t size; };
enum { VCR_RING = 1 /* it is to be read at once */, VCR_CHIME = 2 /* soon */ };
/* One record of the pieces in order; VCR_SPOOL_MAX_RECORD at most. Where it begins in the spool; 0: lost and counted. */
uint64_t vcr_append(uint32_t type, uint32_t conn, uint64_t time_ns, const struct vcr_piece *piece, int pieces, int flags);
/* Bytes of a connection, in as many records as it takes. Nothing if the collector muted it. */
void vcr_append_bytes(uint32_t type, uint32_t conn, uint64_t time_ns, const void *p, size_t n, int flags);
bool vcr_muted(uint32_t conn);
/* There is a collector, and it has not taken the FILE record of ours that begins there: nothing has been acted upon that was appended since. */
bool vcr_spool_is_untaken(uint32_t at_in_units);
/* Add to it that the file has been closed. False: that has to be said by a record of its own. */
bool vcr_spool_add_closed(uint32_t at_in_units);
uint32_t vcr_next_conn(void);
/* Map all of it now: later no system call will be made. */
void vcr_spool_widen(void);
/* Count an event that could not be written. */
void vcr_lost(size_t bytes);
void vcr_spool_leave(void);         /* this process ends, or becomes a program that cannot join */
void vcr_spool_rejoin(void);        /* it did not; or a fork child begins */
void vcr_spool_count(int n);        /* a place in header.users for a program that is about to start, or back again */
void vcr_spool_discard(void);       /* the last process ends and nothing worth recording happened */
/* NUL-terminated string as a piece, cut at PATH_MAX - 1 bytes by the caller's buffers. */
static inline struct vcr_piece vcr_text(const char *s) { return (struct vcr_piece){ s, strlen(s) + 1 }; }
uint32_t vcr_crc(uint32_t crc, const void *p, size_t n); /* crc.c; start and end with ~ */

/* ---- start.c: the collector ---- */
/* Something worth recording happens: there must be a collector. */
void vcr_want_collector(void);
void vcr_start_collector(struct vcr_spool_header *h);
/* True: this call has started it. See gate.c. */
bool vcr_start_gate(struct vcr_spool_header *h, bool untapped_only);
/* Before the first change in the workspace: wait, bounded once per session, until its start scan is complete. */
void vcr_wait_base(void);
static inline bool vcr_collector_alive(const struct vcr_spool_header *h)
{
	uint32_t s = vcr_load(&h->collector);
	return s == VCR_COLLECTOR_STARTING || s == VCR_COLLECTOR_RUNNING;
}

/* ---- path.c ---- */
/* Two path buffers off the caller's stack, which may be a signal's small one. NULL when all are taken. */
struct vcr_scratch { char a[PATH_MAX], b[PATH_MAX]; }; /* in one: 2 * PATH_MAX from a on */
struct vcr_scratch *vcr_scratch_take(void);
void vcr_scratch_give(struct vcr_scratch *s);
void vcr_scratch_forget(void);      /* in a fork child: other threads' are free again */
/* The absolute form of path as seen from dir, its last component not resolved. */
bool vcr_path_absolute(int dir, const char *path, char out[PATH_MAX]);
/* Of a path that vcr_path_absolute cannot tell, as it is longer than the kernel tells: is it in the workspace? out: the nearest directory above that has a name. */
bool vcr_path_deep(int dir, const char *path, char out[PATH_MAX]);
/* Inside the workspace, outside .git and .vcr. */
bool vcr_path_matters(const char *absolute);
bool vcr_path_of_fd(int fd, char out[PATH_MAX]);
bool vcr_path_is_too_long(int fd, char out[PATH_MAX]); /* vcr_path_of_fd fails as it is longer than the kernel tells; not as a pipe or a socket has none */

/* ---- names.c ---- */
void vcr_names_keep(int fd, const char *path);      /* absolute, of a file that opening it as fd has made */
void vcr_names_copied(int from, int to);            /* a descriptor was duplicated: a shell does it for each file that it writes */
bool vcr_names_find(int fd, char out[PATH_MAX]);    /* false: ask the kernel */
void vcr_names_keep_outside(const char *path);      /* absolute, without a link on its way, and not of the workspace: its directory is kept */
bool vcr_names_is_outside(const char *path);        /* does it stand in the directory that was kept last? */
bool vcr_names_of_directory(int fd, char out[PATH_MAX]); /* vcr_path_of_fd for one that is asked for again and again */
void vcr_names_changed(void);                       /* something is about to be renamed, or was, or a directory is gone: names that are kept may not hold */
void vcr_names_forget(void);                        /* in a forked child: who held a slot is not there */

/* ---- cwd.c: the working directory ---- */
bool vcr_cwd(char out[PATH_MAX]);
void vcr_cwd_forget(void);
void vcr_cwd_wanders(void); /* from now on it changes without anybody saying so */

/* /proc/PID/stat field 22; 0 if it cannot be read. */
uint64_t vcr_start_time(int pid);
/* It is there, no zombie, neither killed nor about to end, and began then (0: whenever). A process that ends still accepts connections for a while. */
bool vcr_process_runs(int pid, uint64_t start);
char *vcr_format(char *at, const char *text);   /* append; returns the new end */
char *vcr_format_number(char *at, uint64_t value, int least_digits);

/* ---- fd.c: what is known of a descriptor ---- */
enum { VCR_FDS = 1 << 16 };
#define VCR_FD_PAIR 0x80000000u /* in conn of a VCR_FD_SOCKET: it has copies */
enum vcr_fd_kind {
	VCR_FD_NONE = 0,
	VCR_FD_FILE = 1,      /* open for writing in the workspace, not written yet */
	VCR_FD_DIRTY = 2,     /* … and written */
	VCR_FD_NOTES = 3,     /* the file of $VCR_ANNOTATE */
	VCR_FD_LED = 4,       /* connected to the gate, which says what passes */
	VCR_FD_SOCKET = 5,    /* connected, its first bytes not seen */
	VCR_FD_HTTP = 6,      /* speaks HTTP, nothing worth recording yet */
	VCR_FD_PLAIN = 7,     /* recorded; conn has its number */
	VCR_FD_STDIO = 8,     /* standard input or output, both a pipe or socket: is this process asked in JSON-RPC? */
	VCR_FD_TLS = 9,       /* speaks TLS with a model, and no hook has heard it yet (unheard.c) */
};
struct vcr_fd {
	uint32_t conn;                /* of a connection; of a VCR_FD_FILE that its open made or emptied: where the record of that begins, in units of VCR_SPOOL_ALIGN; else 0 */
	uint8_t kind;                 /* enum vcr_fd_kind */
};
struct vcr_name {                     /* names.c: of an open file */
	uint32_t taken, renames;
	int32_t fd;                   /* and 1, so that 0 is none */
	char path[256];
};
enum { VCR_NEAR_FDS = 32, VCR_NEAR_NAMES = 4, VCR_SCRATCHES = 16 };
/* What nearly every process that begins or writes a file would touch on a page each: beside each other, right behind what is VCR_HOT. */
struct vcr_near {
	struct vcr_fd fd[VCR_NEAR_FDS];
	struct vcr_name names[VCR_NEAR_NAMES]; /* of the lowest descriptors */
	char texts[1536];             /* init.c: what stays for the process's life. Nearly always enough */
	struct vcr_scratch scratch[VCR_SCRATCHES]; /* path.c: what is written there is short, and stands at the beginning */
};
extern struct vcr_near vcr_near;      /* near.c */
extern struct vcr_fd vcr_far_fd[VCR_FDS]; /* of which the first VCR_NEAR_FDS are not used */
/* fd: below VCR_FDS. */
static inline struct vcr_fd *vcr_fd_at(int fd) { return vcr_likely(fd < VCR_NEAR_FDS) ? &vcr_near.fd[fd] : &vcr_far_fd[fd]; }
static inline int vcr_fd_get(int fd) { return vcr_likely((unsigned)fd < VCR_FDS) ? __atomic_load_n(&vcr_fd_at(fd)->kind, __ATOMIC_RELAXED) : VCR_FD_NONE; }
void vcr_fd_set(int fd, enum vcr_fd_kind kind);
void vcr_fd_plain(int fd, uint32_t conn); /* it is recorded from here on, and so are its copies */
void vcr_fd_closed(int fd);         /* it was closed, whoever did it */
void vcr_fd_closed_range(unsigned first, unsigned last);
void vcr_fd_copied(int from, int to);
bool vcr_fd_has_file_copy(int fd);  /* of a VCR_FD_FILE that its open made or emptied: another descriptor carries it too */
static inline bool vcr_fd_is_socket(int kind) { return kind >= VCR_FD_SOCKET; } /* one whose bytes matter */

/* ---- marks.c: file records ---- */
uint64_t vcr_mark(uint32_t op, uint32_t flags, int fd, uint32_t existed, const char *path, const char *path2); /* result: as vcr_append */
void vcr_mark_written(int fd);      /* bytes went into a VCR_FD_FILE */
void vcr_mark_closed(int fd, int kind);
bool vcr_mark_is_pending(int fd);   /* its open has said that it changes, and nobody can have looked at it since: it need not be said again */
void vcr_mark_notes(void);          /* something was written into a VCR_FD_NOTES: its place among what else was done */
/* A name changed: op(path as seen from dir). Call after success. */
void vcr_mark_at(uint32_t op, uint32_t flags, int dir, const char *path);
void vcr_mark_two(uint32_t op, uint32_t flags, int dir, const char *path, int dir2, const char *path2);
void vcr_mark_fd(uint32_t op, uint32_t flags, int fd);
/* Before such a call: the start scan has to be complete when the path matters. */
void vcr_before_change(int dir, const char *path);
/* Around an open for writing: `existed` before it, the mark and the descriptor after it. */
uint32_t vcr_before_open(int dir, const char *path, int flags);
bool vcr_open_may_make(int flags);  /* nobody waits for the start scan any more: whether the path is there the open itself can tell */
void vcr_after_open(int fd, int dir, const char *path, int flags, uint32_t existed);
static inline bool vcr_open_changes(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
}

/* ---- keep.c: pre-images ---- */
struct vcr_kept { bool made; struct stat st; };
/* Before the name goes (deleted, renamed over), and after the call that returned r: 0 for success. */
void vcr_keep_going(int dir, const char *path, struct vcr_kept *kept);
void vcr_keep_after(const struct vcr_kept *kept, long r);
/* Before what it leads to is written into or cut. */
void vcr_keep_changing(int dir, const char *path);

/* ---- sock.c ---- */
void vcr_sock_out(int fd, const void *buf, size_t n, uint64_t time_ns);
void vcr_sock_out_file(int fd, int from, uint64_t at, size_t n, uint64_t time_ns);
void vcr_sock_out_iov(int fd, const struct iovec *v, size_t count, size_t n, uint64_t time_ns);
void vcr_sock_in(int fd, const void *buf, size_t n);
void vcr_sock_in_iov(int fd, const struct iovec *v, size_t count, size_t n);
ssize_t vcr_sock_was_read(int fd, const void *buf, ssize_t r, size_t room); /* what a read of at most room bytes gave; returns r, leaves errno */
void vcr_sock_failed(int fd, int error); /* a read or write failed; recorded when that ends the connection */
void vcr_sock_inherited(void);      /* at load: connections that came through exec */
void vcr_conn_closed(uint32_t conn, int32_t reason);
/* A new connection's record; its number, 0 if it was lost. */
uint32_t vcr_conn_open(uint32_t kind, int fd, const char *server);

/* ---- unheard.c: TLS that no hook hears ---- */
/* The first bytes of TLS go out: is it to be looked at? Then it is a VCR_FD_TLS. */
bool vcr_unheard_hello(int fd, const void *p, size_t n);
void vcr_unheard_out(int fd, const void *p, size_t n);
void vcr_unheard_in(int fd);
/* A hook has worked for that server's name. */
void vcr_unheard_claim(const char *name);
bool vcr_unheard_is_heard(const char *name);
void vcr_unheard_closed(int fd);

/* ---- late.c: to the gate in the midst of a run ---- */
enum { VCR_LENDS_BUNDLES = 1, VCR_LENDS_HOSTS = 2 };
extern uint32_t vcr_late_lends; /* of these */
extern __thread const void *vcr_caller; /* of this thread's newest connect, or of its newest write to a descriptor that matters */
/* Whom a socket is connected with: the port, 0 if that is no TCP. */
unsigned vcr_late_peer(int fd, char ip[46]);
/* No hook hears what that caller says to that host there. True: from the next bundle of certificates on that it reads, the gate will. */
bool vcr_late_begin(const char *name, const char *ip, unsigned port, const void *caller);
/* Another address of such a host. */
void vcr_late_learn(const char *name, const char *ip, unsigned port);
/* At load, where there is a gate. */
void vcr_late_program(const struct vcr_lead_block *g);
/* A lower-case name, or an address; port 0: not known yet. */
bool vcr_late_leads(const struct vcr_lead_block *g, const char *name, unsigned port);
/* A connection is about to go there. False: not now. */
bool vcr_late_try(struct vcr_lead_block *g, const char *name, unsigned port);
/* A place that is not listed, and that gRPC is about to connect to: may the gate hear whose it is? *alone: the table has no room for it, the gate is told its address. */
bool vcr_late_meets(struct vcr_lead_block *g, const char *ip, unsigned port, bool *alone);
/* A file was opened for reading by that caller: fd may read something else from here on. */
void vcr_late_opened(int fd, const char *path, const void *caller);
extern struct vcr_late_named { const char *path; size_t n; } vcr_late_named; /* gRPC's roots, as a variable said at load */
/* gRPC's roots are known by their name or by that. */
static inline bool vcr_late_wants(const char *path)
{
	size_t n = strlen(path);
	return vcr_unlikely(vcr_load(&vcr_late_lends)) || (n > 10 && !memcmp(path + n - 10, "/roots.pem", 10)) || (n == vcr_late_named.n && !memcmp(path, vcr_late_named.path, n));
}
static inline int vcr_late_fd(int fd, const char *path, const void *caller)
{
	if (fd >= 0 && vcr_unlikely(vcr_late_wants(path)))
		vcr_late_opened(fd, path, caller);
	return fd;
}

/* ---- hosts.c: /etc/hosts for resolvers that a library brings, in a replay ---- */
/* The same. True: it was that file. */
bool vcr_hosts_opened(int fd, const char *path, const void *caller);
/* Where the library of that caller begins; NULL: it is the program, or runs programs itself. */
const void *vcr_library_of(const void *caller);

/* ---- rpc.c: a process that is asked in JSON-RPC over its standard input (MCP servers) ---- */
void vcr_rpc_watch(void);           /* at load: is it possible? */
void vcr_rpc_in(const void *buf, size_t n); /* the first bytes read from a VCR_FD_STDIO input */
void vcr_rpc_not(void);             /* it speaks or ends first: no server */

/* ---- gate.c: a gate on need ---- */
/* Before main: a program that is recorded by a gate or not at all gets one, and trusts it. tapped: its own OpenSSL is. */
void vcr_gate_program(bool tapped);
/* .vcr/config names it as a model's host. */
bool vcr_gate_has_host(const char *name);
/* In the automatic lane there is a gate from here on, or will be; nobody waits for it yet. */
bool vcr_gate_late(void);
/* Before a program is started that can be recorded by a gate alone; in a vfork child too. */
void vcr_gate_for_child(void);
extern uint32_t vcr_gate_asked;
void vcr_gate_ask(void);
/* TLS is set up, a name is looked up, a connection is made: in the gate's lane there is a gate from then on. Once per process. */
static inline void vcr_gate_wanted(void)
{
	if (vcr_unlikely(!vcr_load(&vcr_gate_asked)))
		vcr_gate_ask();
}

/* ---- lead.c, lookup.c, trust.c: to the gate (spool-format.h). Nothing but a load and a compare where there is none ---- */
/* The gate that this process's connections to model hosts are led to; NULL: none. It may have ended. */
struct vcr_lead_block *vcr_lead(void);
bool vcr_lead_replays(void);
/* It runs; a gate that is being started is waited for, one whose process has died is told to have ended. */
bool vcr_lead_open(struct vcr_lead_block *g);
enum vcr_lead_way { VCR_LEAD_OWN_WAY /* connect as asked */, VCR_LEAD_ANSWERED /* *r and errno are connect's */, VCR_LEAD_CONNECTED /* likewise, not to the gate */ };
enum vcr_lead_way vcr_lead_connect(int fd, const struct sockaddr *a, socklen_t n, int *r);
/* A replay, and that place is not on this machine, or DNS: errno is set, the refusal is said. */
bool vcr_lead_refuses(int fd, const struct sockaddr *a, socklen_t n);
void vcr_lead_refused(uint32_t kind, int error, const char *where);
/* Is what TLS carries there the gate's to record? fd -1: TLS over memory, known by its server name ("": none). */
bool vcr_lead_mutes(int fd, const char *server);
void vcr_lead_learn_proxies(void);
bool vcr_lead_is_local_name(const char *name);
/* A lower-case name, and a pattern of n characters, with * and ?. */
bool vcr_lead_matches(const char *pattern, size_t n, const char *name);
bool vcr_lead_is_loopback(const struct sockaddr *a, socklen_t n);
struct vcr_lead_numeric { char v4[16], v6[24]; };
bool vcr_lead_name_at(const struct vcr_lead_block *g, size_t i, char out[VCR_LEAD_NAME]);
/* Where that name stands in the table, put there if need be; -1 if it is full. */
int vcr_lead_index(struct vcr_lead_block *g, const char *name);
/* The addresses that stand for a name that is led; port 0: not known yet. */
bool vcr_lead_name(const char *name, unsigned port, struct vcr_lead_numeric *out);
/* Says to the gate, with the socket's local port, where its connection is meant to go; proxy: its program speaks to a proxy there. */
void vcr_lead_say(struct vcr_lead_block *g, int fd, bool v6, int index, bool proxy, unsigned port);
/* Before a name that is led is said to be known: false where the gate's own look-up fails, so that the program should hear what its own says. */
bool vcr_lead_is_known(const char *name, unsigned port);
/* The name that such an address stands for. */
bool vcr_lead_stands_for(const struct sockaddr *a, socklen_t n, char name[VCR_LEAD_NAME]);
/* The original of an SSL function for this caller, remembered for jumps from inside it; *inner: libssl itself calls. NULL: not to be found. */
void *vcr_tls_original(enum vcr_hook hook, const char *name, const void *caller, bool *inner);
/* What the library that holds `original` sees under a name: its own functions and libcrypto's. */
void *vcr_tls_beside(void *original, const char *name);
/* Variables that this program needs to trust the gate, before its main. False: it needs some, and they could not be put there. */
bool vcr_trust_environment(void);

/* ---- ask.c: can the gate connect there? ---- */
enum { VCR_ASK_UNKNOWN_NAME = -1 };
enum vcr_ask { VCR_ASK_NAME /* its address is asked for */, VCR_ASK_CONNECT, VCR_ASK_CONNECT_SOON /* on a socket that does not block */ };
/* 0 yes, or that cannot be said in time; else the errno that a connect there has, or VCR_ASK_UNKNOWN_NAME. index: of the name in the table. */
int vcr_ask(struct vcr_lead_block *g, int index, const char *name, unsigned port, enum vcr_ask why);

/* ---- tap.c: OpenSSL inside the program itself ---- */
bool vcr_tap_program(void);         /* before main, once; true: it is tapped */
bool vcr_program_exports(const char *function); /* the program itself, no library */
bool vcr_tap_refused(void);         /* there is an OpenSSL inside the program, and it could not be tapped */
void vcr_tap_said(void);            /* it is said otherwise */
void vcr_tap_unseen(void);          /* TLS is spoken: say it if that could not be tapped, or is of a library without hooks */
bool vcr_tap_has_openssl(void);     /* it did */
void vcr_tap_openssl(void);         /* a hook saw an OpenSSL of this process make a context */

/* ---- deep.c: modules that were loaded with RTLD_DEEPBIND ---- */
/* Is what lies at that bias one? OpenSSL's functions are its own library's, whatever the program's is. */
bool vcr_deep_is(uintptr_t bias);

/* ---- failed.c: connections that could not be made ---- */
struct addrinfo;
/* A look-up has said which addresses a name has. */
void vcr_failed_learn(const char *name, const struct addrinfo *found);
/* connect() has failed with that error, or goes on in the background (EINPROGRESS); SO_ERROR has said how it went. */
void vcr_failed_connect(int fd, const struct sockaddr *a, socklen_t n, int error);
void vcr_failed_result(int fd, int error);

/* ---- env.c, elf.c: what a new program gets ---- */
enum vcr_target {
	VCR_TARGET_TAKES,
	VCR_TARGET_GO,        /* takes it, but reads its environment from the stack and calls the kernel itself */
	VCR_TARGET_STATIC,    /* only hands it on */
	VCR_TARGET_MUSL,      /* another libc's loader would try to load it: goes without */
	VCR_TARGET_HARMED,    /* likewise: other word size, ASan's runtime, set-id */
};
static inline bool vcr_target_takes(enum vcr_target t) { return t <= VCR_TARGET_GO; }
static inline bool vcr_target_hands_on(enum vcr_target t) { return t <= VCR_TARGET_STATIC; }
static inline bool vcr_target_is_lent(enum vcr_target t) { return t >= VCR_TARGET_GO && t <= VCR_TARGET_MUSL; } /* see lend.c */
/* How the program that the kernel would run for path (through #!) takes a preload. fd: -1, or the open program. */
enum vcr_target vcr_elf_target(const char *path, int fd);
/* The same of a path whose stat(2) is known: looked up in what was found of a few programs before, slot[VCR_TARGETS] or NULL.
 * *named: it is the program itself, and no script. */
enum vcr_target vcr_elf_target_known(const char *path, const struct stat *st, bool *named, uint64_t *slot);
/* What the kernel says of a file that is to be run: 0, or ENOEXEC for what is no program, ENOENT for a script without its interpreter. */
int vcr_elf_error(const char *path);
/* Entries that vcr_env_fill may need beyond those of env. */
enum { VCR_ENV_ROOM = 3 };
size_t vcr_env_count(char *const env[]);
/* Bytes of text that vcr_env_fill needs. */
size_t vcr_env_text_size(char *const env[]);
/* env with our variables put back (or taken out for a harmed target), into out[count + VCR_ENV_ROOM]. */
void vcr_env_fill(char *const env[], enum vcr_target target, bool named, char **out, char *text);
/* Hide our variables from the program itself: in place, before main. */
void vcr_env_hide(char **env, bool inserted);
/* enum vcr_env_flag of a VCR_SPOOL. */
unsigned vcr_env_flags(const char *spool);
/* Instead, in a program that reads its variables from the stack and starts others without us: they stay, but are not for these. */
void vcr_env_keep(char *spool);
/* Is this entry the variable of that name? */
static inline bool vcr_env_is(const char *entry, const char *name)
{
	while (*name && *entry == *name) {
		entry++;
		name++;
	}
	return !*name && *entry == '=';
}
char *vcr_env_get(char *const env[], const char *name);

/* ---- lend.c: proxy and certificate variables for one program that the library cannot enter ---- */
enum { VCR_LEND_NAMES = 16, VCR_LEND_ROOM = VCR_LEND_NAMES + 1 };
struct vcr_lend { char proxy[2 * VCR_LEAD_TOKEN], around[32], bundle[VCR_LEAD_PATH], extra[VCR_LEAD_PATH]; };
/* What is lent where that gate is, to process pid (0: not known yet); false if its block has nothing that can be. */
bool vcr_lend_terms(const struct vcr_lead_block *g, int pid, struct vcr_lend *l);
/* Bytes of text that vcr_lend needs, for these variables and VCR_LENT. */
size_t vcr_lend_text_size(const struct vcr_lend *l, char *const env[]);
/* In place: env, which has room for VCR_LEND_ROOM entries more, is the program's. */
void vcr_lend(const struct vcr_lend *l, char **env, char *text);
/* In place, before main: what was lent to a program that this one descends from is as it was before. */
void vcr_lend_back(char **env);
/* Whom the variables were lent to, before they are given back: its number, or VCR_SPOKE_UNNAMED; 0: nobody. */
int32_t vcr_lend_whom(char *const env[]);

/* ---- stand.c: tools, where somebody stands in for them (spool-format.h) ---- */
extern int32_t vcr_spoke;           /* the process that has spoken to a model; its children, which find it here too, are another. exec forgets it */
extern int32_t vcr_may_speak;      /* the one that was led somewhere of which only the gate hears whether it is a model's: that says so in the header's `spoke` */
static inline void vcr_stand_spoke(void) { if (vcr_unlikely(!vcr_load(&vcr_spoke))) vcr_store(&vcr_spoke, raw_getpid()); }
/* Is what this process is about to start, or to become, started through the stand-in? Then argv is laid out in `out`, which has VCR_STAND_ROOM
 * entries more than argv, and env loses its LD_PRELOAD to it. early: the process has not spoken to a model; what it becomes itself is never asked about. */
enum { VCR_STAND_ROOM = 8 };
struct vcr_stand { char program[400], place[400], how[24]; bool answers, watches, early; int32_t reader; /* of what it prints; 0: its parent */ };
bool vcr_stand_wanted(bool spawns, struct vcr_stand *s);
/* Is this process itself one, begun by a program that the library cannot enter, and which was lent the gate by that number or VCR_SPOKE_UNNAMED? */
bool vcr_stand_wanted_here(int32_t lender, struct vcr_stand *s);
/* Is it no tool, but a program whose own tools we would not see start? Where tools are answered it is started through the stand-in, too, which becomes it. */
bool vcr_stand_watches(struct vcr_stand *s);
/* target: the program's. */
void vcr_stand(struct vcr_stand *s, enum vcr_target target, bool by_name, const char *name, char *const argv[], char **env, char **out);
/* It could not be run, as in another root, or by another user: where tools are only kept, the program is started without, in env as it was before. False: where they are answered, none is. */
bool vcr_stand_forgone(const struct vcr_stand *s, char **env, char *const out[]);

/* ---- exec.c, shell.c, proc.c ---- */
typedef int vcr_spawn_call(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const[], char *const[]);
/* posix_spawn with this process's environment, as the hook has it. */
/* This process has begun, with these arguments, and is a tool that nobody was there to stand in for: then the stand-in is run in its place. Returns if not. */
void vcr_exec_stand_in(char *const argv[]);
int vcr_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *acts, const posix_spawnattr_t *attr, char *const argv[]);
extern int32_t vcr_npiped;          /* streams of popen that pclose and fclose wait for here; then by this, which says what pclose does */
int vcr_close_piped(FILE *f);
void vcr_say_process(struct vcr_spool_header *h);
long vcr_own_program(char out[PATH_MAX]); /* own.c: its path, whose length is returned; -errno and "" if that is not known */
void vcr_say_process_from(char *const argv[], char *const env[]); /* until it is told otherwise; NULL: /proc knows them */
void vcr_say_exit(int child, int status, uint32_t source);
void vcr_before_exit(int status);
void vcr_shares(void); /* a child is about to be made that may have our memory: vcr_sharers */
long vcr_sys_exec(long number, long a, long b, long c, long d, long e);

#endif
