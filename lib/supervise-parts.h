/* supervise-parts.h — the inside of supervise.h: supervise.c (the loop, files), supervise-process.c (whose call it is, its memory and paths),
 * supervise-code.c (is it the library's), supervise-later.c (marks that wait for their call), supervise-connect.c, supervise-ask.c (connects that wait for what the gate says of them). */
#ifndef VCR_SUPERVISE_PARTS_H
#define VCR_SUPERVISE_PARTS_H
#include <linux/limits.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "preimage.h"
#include "spool-write.h"
#include "supervise.h"

enum {
	VCR_SEEN = 512,          /* threads known at a time; by number, the last one that was met */
	VCR_SEEN_CODE = 6,       /* pieces of the C library in a process */
	VCR_CODE_HELD = 16,      /* files with the code of the C libraries and ours, whose numbers stay theirs */
	VCR_CODE_OTHERS = 64,    /* other programs' and libraries' code, the last ones that were met */
	VCR_LATER = 64,          /* marks that wait at a time; the oldest is decided then */
	VCR_REACHES = 64,        /* places of which is known whether they can be connected to */
	VCR_PLACE = INET6_ADDRSTRLEN + 10,
	VCR_ASK_ANSWER = 512,    /* bytes of the gate's head that are looked at */
};

union vcr_address { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; struct sockaddr_storage room; };

/* A connect that waits for what the gate says of that place; id 0: it does not wait any more, what comes is for others. */
struct vcr_asking {
	bool used;
	uint64_t id;
	int tid, pid, fd, gate;  /* fd: the program's socket, lent; gate: ours */
	union vcr_address meant;
	uint64_t since_ns;
	uint32_t limit_ms, troubles; /* of when it was asked */
	char text[VCR_ASK_ANSWER];
	size_t n;
};

/* What the gate said. */
struct vcr_reach {
	bool known, told;        /* told: the session knows of a refusal */
	int error;               /* 0: it can connect there */
	union vcr_address to;
	uint64_t at_ns;
	uint32_t troubles;
};

enum vcr_code_kind { VCR_CODE_OTHER, VCR_CODE_LIBC, VCR_CODE_OURS };
/* Code of a file, as the kernel names it. */
struct vcr_code_file {
	enum vcr_code_kind kind;
	uint32_t major, minor;
	uint64_t inode, offset, length;
	void *page;              /* it is mapped here for that; or NULL */
};

/* A thread that has made a call. */
struct vcr_seen {
	int tid;                 /* 0: free */
	int proc;                /* /proc/TID */
	bool learnt;             /* its code: */
	bool hooked;             /* it has the library */
	bool told;               /* the session knows of it */
	int ncode;
	struct { uint64_t from, to; } code[VCR_SEEN_CODE]; /* of the C library and ours */
	bool whole;              /* looked at, and it can be seen: */
	int pid, ppid;
	const char *cwd;         /* as of this call: the supervisor's */
};

/* A mark whose call has been let go. */
struct vcr_later {
	bool used;
	int tid, pid;
	uint32_t op, flags, existed;
	char *path, *path2;
	struct stat before, other; /* of path and path2; st_nlink 0: was not there */
	uint64_t since_ns;
};

struct vcr_supervise {
	struct vcr_supervise_options o;
	struct vcr_spool_writer *w;
	struct vcr_spool_header *h;
	char workspace[PATH_MAX];
	size_t workspace_length;
	struct vcr_seen seen[VCR_SEEN];
	struct vcr_code_file held[VCR_CODE_HELD], others[VCR_CODE_OTHERS];
	int nheld, tried;
	unsigned next_other;
	struct vcr_later later[VCR_LATER];
	int nlater;
	char cwd[PATH_MAX];       /* of who makes the call in hand */
	char parent[PATH_MAX], true_parent[PATH_MAX]; /* the last directory that had to be resolved */
	bool asked_for_gate;
	bool told_identity;       /* that a program of another identity has none here */
	bool told_bound;          /* that a connection is bound to an interface */
	struct vcr_asking asking[VCR_NOTIFY_KEPT];
	struct { int tid; ino_t socket; } unheard[VCR_NOTIFY_KEPT]; /* connected, and a signal ended the call before it was told so: it makes it again */
	unsigned next_unheard;
	struct vcr_reach reach[VCR_REACHES];
	unsigned next_reach;
	struct vcr_preimages *kept; /* NULL: nothing is */
	dev_t own_dev; /* of this program: a child that has not become the command yet is not supervised */
	ino_t own_ino;
	struct vcr_supervise_stats stats;
};

/* supervise-process.c */
/* Of most calls it is only asked whether the library tells of them: the entry has its code, and the rest from vcr_seen_whole on. NULL: it is not there. */
struct vcr_seen *vcr_seen_of(struct vcr_supervise *s, int tid);
bool vcr_seen_is_met(const struct vcr_supervise *s, int tid);     /* its code has been asked for, or that of one who had its number */
bool vcr_seen_whole(struct vcr_supervise *s, struct vcr_seen *p); /* for this call. False: it is not to be seen */
void vcr_seen_becomes_another(struct vcr_supervise *s, int tid);  /* program, if its execve does what it should */
void vcr_seen_release(struct vcr_supervise *s);
bool vcr_seen_read(const struct vcr_seen *p, uint64_t at, void *to, size_t n);
bool vcr_seen_text(const struct vcr_seen *p, uint64_t at, char *to, size_t room);
/* As fstatat(2); a path from its root is taken for one from ours. 0 or -errno. */
int vcr_seen_stat(const struct vcr_seen *p, int dir, uint64_t at, int flags, struct stat *st);
bool vcr_seen_path(const struct vcr_seen *p, int dir, uint64_t at, char out[PATH_MAX]); /* absolute */
void vcr_seen_tell(struct vcr_supervise *s, struct vcr_seen *p);  /* the session is to know of it */
/* By its text alone: in a directory that never matters. */
bool vcr_supervise_is_elsewhere(const struct vcr_supervise *s, const char *path);
/* In the workspace and worth recording; path becomes the one that its directory really has. */
bool vcr_supervise_matters(struct vcr_supervise *s, char path[PATH_MAX]);

/* supervise-code.c */
void vcr_code_hold(struct vcr_supervise *s); /* what this program has of it, before any is met */
void vcr_code_release(struct vcr_supervise *s);
bool vcr_seen_by_library(const struct vcr_seen *p, uint64_t instruction);
void vcr_seen_learn_code(struct vcr_supervise *s, struct vcr_seen *p, bool by_table); /* by_table: as where the kernel knows no better */

/* supervise-later.c */
void vcr_later_add(struct vcr_supervise *s, const struct vcr_later *mark, const char *path, const char *path2);
void vcr_later_settle(struct vcr_supervise *s, int tid); /* marks whose calls are seen to be done; those of thread tid, which calls again, are decided */
void vcr_later_ends(struct vcr_supervise *s, int tid);   /* its process ends: all its marks are decided, before anybody looks at what it has left */
int vcr_later_timeout(const struct vcr_supervise *s);    /* until they are looked at again; -1: there are none */
void vcr_later_release(struct vcr_supervise *s);

/* supervise-connect.c: answers the call, or has it wait */
void vcr_supervise_connect(struct vcr_supervise *s, struct vcr_seen *p, const struct seccomp_notif *call);
/* One that has waited: error is what the gate said of that place, 0 that it can connect there or that nobody knows. */
void vcr_supervise_answer(struct vcr_supervise *s, uint64_t id, int tid, int pid, int fd, const union vcr_address *meant, int error);
void vcr_supervise_place(const union vcr_address *a, char out[VCR_PLACE]); /* ADDRESS:PORT */
void vcr_supervise_say_refused(struct vcr_supervise *s, int pid, const union vcr_address *a, int error);

/* supervise-ask.c */
bool vcr_reach_known(struct vcr_supervise *s, const union vcr_address *a, int *error); /* *error: as above */
/* The call in hand waits from here on, and *fd is taken over and -1 then. waits: its socket blocks. False: it does not wait, nobody can be asked. */
bool vcr_reach_begin(struct vcr_supervise *s, int tid, int pid, int *fd, const union vcr_address *meant, bool waits);
void vcr_reach_forget(struct vcr_supervise *s, int tid); /* the thread calls again: what it waited for it does not wait for any more */
void vcr_reach_look(struct vcr_supervise *s);    /* answers that have come, and limits that have passed */
/* What the loop waits for too; *timeout_ms becomes smaller. How many: VCR_NOTIFY_KEPT at most. */
unsigned vcr_reach_poll(const struct vcr_supervise *s, struct pollfd *p, int *timeout_ms);
void vcr_reach_release(struct vcr_supervise *s); /* nobody is asked any more */

/* supervise.c */
void vcr_supervise_append(struct vcr_supervise *s, uint32_t type, int pid, const void *head, size_t nhead, const void *data, size_t n);
uint64_t vcr_supervise_now(void);

#endif
