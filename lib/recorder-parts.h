/* recorder-parts.h — the inside of recorder.h, shared by recorder.c (events), recorder-control.c (questions, the end), recorder-call.c (calls), recorder-process.c (who lives),
 * recorder-work.c (files, programs), recorder-burst.c (storms of changes), recorder-mcp.c (MCP servers), recorder-save.c (savepoints), recorder-sentinel.c (what the judge says of writes), recorder-tests.c (runs of the user's tests), recorder-coverage.c
 * (what was seen of each program), recorder-context.c (where it is at home),
 * recorder-outputs.c (what tools print),
 * recorder-annotate.c and recorder-notes.c (what programs say about themselves, and the file in which they may), recorder-tools.c (tool calls, whose work is what). */
#ifndef VCR_RECORDER_PARTS_H
#define VCR_RECORDER_PARTS_H
#include "conv.h"
#include "flow.h"
#include "limits.h"
#include "pair.h"
#include "reader.h"
#include "recorder.h"
#include "redact.h"
#include "savepoint.h"
#include "times.h"

/* A program that was started through the stand-in: a tool, or one of which it is not known whether it is the agent (early). Lives as long as the recorder. */
struct vcr_recorder_stood {
	struct vcr_recorder_stood *next, *within; /* the one under which it was begun; NULL none */
	char id[37];            /* of its exec frame */
	bool early;             /* begun by a process that had not spoken to a model, within none that is a tool */
	bool spoke;             /* it, or one under it, has called a model */
	bool unseen;            /* a program under it is not entered by the library: a call of whom the gate does not know may be its own */
};

/* A program run: from the exec to its end. */
struct run {
	uint64_t seq, start_ns;
	char *path, *cwd;
	char **argv;
	int argc;
	bool confirmed; /* the exec succeeded */
	struct vcr_recorder_stood *stood; /* it was started through the stand-in (recorder-outputs.c); NULL */
};

struct process {
	int pid, ppid;
	unsigned serial;        /* no other process of the session has it */
	char *program;          /* basename of the executable */
	char *before;           /* and before its last exec, which may yet fail; NULL */
	uint64_t ended_ns;      /* dead since then; 0 lives. Its number may be another's soon */
	bool waited;            /* its parent has waited for it: it is dead, and all that it had to say has been said */
	bool exiting, exit_said; /* it has ended, and its run is closed with the next sweep; with that status, if anybody said it: */
	int32_t exit_status;
	uint64_t exit_ns;
	struct process *next_exiting;
	struct run run;         /* path NULL: none open */
	bool joined;            /* it has reported since its last exec, so the library is in it */
	bool looked;            /* how is known; otherwise it has not been asked for */
	int how, how_joined;    /* enum vcr_program_kind of a program that has not reported (or STRIPPED), and of one that has */
	char last_call[37];     /* frame id of the last model call of this process; "" none */
	char asked_by[37];      /* it was begun while a tool call of that model call was pending; "" none */
	char *tool_call;        /* that one's id; NULL: not known which */
	struct vcr_recorder_stood *under;    /* the one that it is, or belongs to; NULL none */
	struct vcr_recorder_stood *expected; /* the same, where its parent has not said yet that it spawned it; NULL none */
	struct process *next;   /* hash chain */
	struct process *next_ended;
};

/* What one program did, for the coverage report. */
struct coverage {
	char *program;
	int how;                /* enum vcr_program_kind, or STRIPPED (recorder-coverage.c) */
	int processes, tls, plain, gated;
	int64_t calls, bytes_out, bytes_in, dropped;
	struct coverage *next;
};

enum { SHARED = 16 };      /* calls of one connection whose savepoints are remembered: with HTTP/2 they overlap */
struct conn {
	uint32_t id;
	int pid;
	uint64_t first_seq;     /* first record of the exchange under way; 0 none */
	bool tls, gate;         /* gate: recorded there */
	uint64_t gate_start;    /* when that gate was started, which tells it from one that took its place */
	bool clean;             /* nothing had changed when its call began, whose savepoint this is: */
	char before[41];
	struct { uint64_t seq; char commit[41]; } savepoint[SHARED]; /* taken when the request whose head stood in that record was seen; a ring */
	unsigned nsavepoint;
	char *told;             /* JSON: what the gate put into its request, or answered itself; NULL */
	struct vcr_recorder_rpc *rpc; /* the stdio of an MCP server; NULL */
	struct conn *next;
};

enum { BUCKETS = 1024, MAX_PENDING = 4096, MAX_ENDED = 1024, MAX_EXITING = 4096 };

struct vcr_recorder {
	struct vcr_spool_header *spool;
	char *workspace, *vcr_dir, *session_id;
	uint64_t real_ns, mono_ns;
	struct vcr_session_options session_options;
	char *metadata_json;
	char spare[VCR_MAX_PATH];         /* second name of the session file; "" none */
	struct vcr_session *session;      /* NULL until something is worth it, or when it cannot be made */
	bool session_failed;
	struct vcr_error last_error;
	int64_t lost;                     /* lines that could not be written because there is no session file */

	struct vcr_flow *flow;
	struct vcr_redact *redact;
	struct vcr_files *files;
	struct vcr_conv *conv;
	struct vcr_pair *pair;
	struct vcr_prehash *asked;  /* the requests' forms for their keys */
	const char *answering;            /* frame id of the call whose request is looked at for results */
	struct vcr_prices *prices;
	struct vcr_recorder_sentinel *sentinel; /* NULL: nothing is judged */
	struct vcr_recorder_tests *tests; /* NULL: there is no test command */
	bool salvage;
	const char *source;               /* as in the options */
	bool clean;                       /* vcr_recorder_take_clean */
	bool leave_ignored;               /* savepoints are to be without what git ignores */
	struct vcr_leaves *leaves;        /* then, while there is a store */
	char **ignore;                    /* the configured patterns, and our own directories where they lie in the workspace */

	struct process *process[BUCKETS];
	struct process *ended;            /* dead, and known until their files have been looked at and their run is closed */
	int nended;
	bool storm;                       /* vcr_recorder_storm */
	struct process *exiting, *last_exiting; /* in the order of their ends */
	int nexiting;
	unsigned nserial;
	struct conn *conn[BUCKETS];
	struct coverage *coverage;
	char last_call[37];               /* of the session */
	uint64_t call_seq;                /* set while a call is reported: first record of its exchange */
	uint64_t event_ns;
	uint64_t event_seq, event_end;    /* offset in the spool of the record that is being looked at, and behind it */
	const char *call_savepoint;       /* likewise; NULL none */

	struct vcr_store *store;          /* NULL: no savepoints, save_error says why */
	struct vcr_error save_error;
	struct vcr_store_dirty *dirty;    /* since the last savepoint; paths owned */
	size_t ndirty, cap_dirty;
	int64_t savepoints, unstable;

	uint32_t mute[MAX_PENDING];
	size_t nmute;
	int pid[MAX_PENDING];
	size_t npid;
	uint64_t *done;                   /* sorted hashes of what an earlier recorder wrote */
	size_t ndone;

	struct vcr_buf unseen;            /* reasons, one per line, each once */
	struct vcr_buf times;             /* that changed files had, for vcr_times_keep */
	struct vcr_buf dotenv;            /* .env files that were touched since the last sweep, NUL behind each */
	int64_t small_room;               /* for copies in memory; 0: there is none */
	bool keeps;                       /* programs keep what savepoints do not (preimage.h) */
	size_t nheavy_said;
	int64_t quota;                    /* bytes; 0: none */
	struct vcr_recorder_notes *notes; /* NULL: nothing was annotated */
	int notes_fd, notes_watch;        /* the file of $VCR_ANNOTATE, and its inotify; -1 */
	char notes_path[VCR_MAX_PATH];
	int64_t notes_at;                 /* it is read up to here */
	bool notes_skip;                  /* in the rest of a line that is too long */
	char stood[400];                  /* where what tools print is kept; "": it is not */
	struct vcr_recorder_output *outputs; /* of tools that have ended */
	struct vcr_recorder_output *held, *last_held; /* of programs that have ended before the first model call, in that order */
	int nheld;
	struct vcr_buf command;           /* what the first process was begun with, a NUL behind each, where tools are kept */
	struct vcr_recorder_stood *stand; /* all that were started through the stand-in */
	bool spoke_by_root;               /* the gate has heard a call of the first process, or of one that it does not know */
	int open_tools;                   /* tools that run, and the frame of the one that began last */
	char open_tool[37];
	struct vcr_recorder_burst *burst; /* under way */
	int burst_limit;                  /* changes of one place and program that have frames of their own; 0 all */
	int64_t bursts, coalesced;
	struct vcr_files_stats files_stats; /* as they were at the end */
	int64_t calls, file_changes, programs, redactions, conns_tls, conns_plain;
};

/* recorder.c */
bool vcr_recorder_ready(struct vcr_recorder *r);                 /* the session file is there (made now if need be) */
void vcr_recorder_time(const struct vcr_recorder *r, uint64_t mono_ns, char out[40]); /* ISO 8601 UTC, microseconds */
const char *vcr_recorder_told(struct vcr_recorder *r, uint32_t conn); /* NULL: nothing */
bool vcr_recorder_by_gate(struct vcr_recorder *r, uint32_t conn);
bool vcr_recorder_is_behind(const struct vcr_recorder *r); /* are there records behind the one that is being looked at? */
uint64_t vcr_recorder_as_read(const struct vcr_recorder *r, uint64_t mono_ns); /* that time, but while there are not later than the last record that was read: who made a later change stands in them */
bool vcr_recorder_was_written(const struct vcr_recorder *r, char kind, uint64_t seq, const char *name);
void vcr_recorder_redacted(struct vcr_recorder *r, struct vcr_jw *w, const char *s, size_t n); /* a redacted string value */
int vcr_recorder_frame(struct vcr_recorder *r, struct vcr_frame *f);
void vcr_recorder_end_rpc(struct vcr_recorder *r, int pid, uint64_t mono_ns); /* of that process, or with 0 of all: what its MCP servers have been asked is closed */
/* recorder-process.c */
struct process *vcr_recorder_process(struct vcr_recorder *r, int pid, bool make);
void vcr_recorder_forget_ended(struct vcr_recorder *r);
void vcr_recorder_forget_namesake(struct vcr_recorder *r, int pid); /* pid is not the dead one that had the number before */
/* recorder-learn.c: what is secret */
/* Learn what a dead predecessor had learnt, and note what we learn for a successor, on tmpfs; end: the session is over, nobody
 * needs it. */
void vcr_recorder_learn_on(struct vcr_recorder *r);
void vcr_recorder_learn_end(struct vcr_recorder *r);
void vcr_recorder_learn_start(struct vcr_recorder *r, char **environ);
void vcr_recorder_learn_later(struct vcr_recorder *r, const char *path); /* a program touches that file: if it is a .env, read it before anything of the work is written */
void vcr_recorder_learn_variables(struct vcr_recorder *r, const struct vcr_spool_event *ev, const char *p); /* NAME=VALUE from p to the payload's end */
void vcr_recorder_learn_content(struct vcr_recorder *r, const char *p, size_t n); /* of a file: nothing if it is more than variables */
void vcr_recorder_learn_noted(struct vcr_recorder *r);
void vcr_recorder_learn_file(struct vcr_recorder *r, const char *path);  /* now; nothing if it is no .env */
void vcr_recorder_learn_call(struct vcr_recorder *r, const struct vcr_call *c);
/* recorder-call.c */
bool vcr_recorder_is_model_call(const struct vcr_call *c); /* a frame, whether or not it was answered; else a vcr.http line */
int vcr_recorder_call(struct vcr_recorder *r, const struct vcr_call *c);
/* recorder-tools.c */
struct vcr_recorder_owner {
	char parent[37];         /* frame id of the model call that the work follows; "" none */
	const char *tool_call;   /* id of the one call of it that asked for the work; NULL: not known. Lives until the next model call */
	const char *known_by;    /* alone, argument, process, prompt; NULL */
};
/* Work of pid (0 and below: of nobody knows whom) at that time; path: of the file, NULL. */
void vcr_recorder_whose(struct vcr_recorder *r, int pid, uint64_t at_ns, const char *path, struct vcr_recorder_owner *out);
void vcr_recorder_whose_run(struct vcr_recorder *r, const struct process *p, struct vcr_recorder_owner *out); /* who began the program that p runs */
void vcr_recorder_put_owner(struct vcr_jw *w, const struct vcr_recorder_owner *o); /* members of custom.vcr */
/* What caused a call that extends none: the tool call whose argument its prompt is, or under which its process was begun. list: of the request. */
void vcr_recorder_cause(struct vcr_recorder *r, const struct vcr_call *c, const struct vcr_json *request, int list, struct vcr_recorder_owner *out);
void vcr_recorder_began(struct vcr_recorder *r, struct process *p, uint64_t at_ns); /* p is new, or runs another program */
void vcr_recorder_tool(void *recorder, const struct vcr_pair_call *c, const struct vcr_json *j, const struct vcr_tool_result *result, uint64_t until_ns);
/* Before the frame of a call is written: the results that its request brings. After it: the calls of its answer. */
void vcr_recorder_tools_before(struct vcr_recorder *r, const struct vcr_call *c, const char *frame_id, const struct vcr_conv_place *place,
	const struct vcr_json *request, const char *list_key);
void vcr_recorder_tools_after(struct vcr_recorder *r, const struct vcr_call *c, const char *frame_id, const struct vcr_json *message);
void vcr_recorder_tools_again(struct vcr_recorder *r, const struct vcr_reader_frame *f);
/* recorder-work.c */
int vcr_recorder_change(void *recorder, const struct vcr_change *c);
void vcr_recorder_write_state(struct vcr_jw *w, const struct vcr_file_state *s); /* an object; null: nothing is there */
void vcr_recorder_sweep(struct vcr_recorder *r, int64_t upto_ns); /* as vcr_files_sweep; forgets the dead */
void vcr_recorder_exec(struct vcr_recorder *r, const struct vcr_spool_event *ev);
void vcr_recorder_exit(struct vcr_recorder *r, int pid, const int32_t *status, uint64_t mono_ns);
void vcr_recorder_proc(struct vcr_recorder *r, const struct vcr_spool_event *ev);
void vcr_recorder_seen(struct vcr_recorder *r, const struct vcr_spool_event *ev); /* the supervisor says that it is there */
void vcr_recorder_run_release(struct run *run);
/* recorder-outputs.c: tools, where vcr-standin keeps what they print. under: p is new, or runs another program. tool_of: the frame id of the tool that what pid (0:
 * nobody knows who) does is of; NULL: none. outputs: write down what is complete; last: everything. */
void vcr_recorder_tool_began(struct vcr_recorder *r, struct process *p, bool early);
void vcr_recorder_tool_expected(struct vcr_recorder *r, struct process *p); /* it speaks for the first time: is it one? */
void vcr_recorder_tool_ended(struct vcr_recorder *r, const struct process *p);
void vcr_recorder_tool_failed(struct vcr_recorder *r, struct process *p); /* its exec has */
void vcr_recorder_put_stood(struct vcr_jw *w, const struct vcr_recorder_stood *s); /* what the frame of its exec says of it */
void vcr_recorder_spoke(struct vcr_recorder *r, int pid, bool by_gate); /* that process has called a model */
void vcr_recorder_under(struct vcr_recorder *r, struct process *p);
const char *vcr_recorder_tool_of(struct vcr_recorder *r, int pid);
void vcr_recorder_outputs(struct vcr_recorder *r, bool last);
void vcr_recorder_command(struct vcr_recorder *r, int pid, int argc, char *const *argv); /* that process was begun so: if it is the session's first, and nobody has said it before, it is kept */
void vcr_recorder_write_command(struct vcr_recorder *r); /* and which programs are the agent, or have it under them */
void vcr_recorder_forget_stood(struct vcr_recorder *r);
/* recorder-burst.c */
unsigned vcr_recorder_who(void *recorder, int pid);                   /* for files.h */
unsigned vcr_recorder_lived(void *recorder, int pid, int64_t ns);      /* for files.h */
bool vcr_recorder_burst_take(struct vcr_recorder *r, const struct vcr_change *c); /* it is of a storm and needs no frame of its own */
void vcr_recorder_burst_end(struct vcr_recorder *r);                  /* the frames of the storms so far */
void vcr_recorder_burst_free(struct vcr_recorder *r);
void vcr_recorder_write_files(const struct vcr_recorder *r, struct vcr_jw *w);
/* recorder-mcp.c: JSON-RPC over the stdio of process pid. end reports what was not answered, and frees. */
struct vcr_recorder_rpc *vcr_recorder_rpc_new(struct vcr_recorder *r, int pid, uint32_t conn, const char *input);
int vcr_recorder_rpc_feed(struct vcr_recorder_rpc *rpc, bool from_server, const char *p, size_t n, uint64_t time_ns);
void vcr_recorder_rpc_free(struct vcr_recorder_rpc *rpc);
void vcr_recorder_rpc_end(struct vcr_recorder_rpc *rpc, uint64_t time_ns);
/* recorder-coverage.c */
void vcr_recorder_unseen(struct vcr_recorder *r, const char *why);            /* a reason, once */
void vcr_recorder_lost(struct vcr_recorder *r, const struct vcr_spool_event *ev);
void vcr_recorder_refused(struct vcr_recorder *r, const struct vcr_spool_event *ev);
struct coverage *vcr_recorder_coverage(struct vcr_recorder *r, int pid);      /* the program's entry; NULL: too many */
void vcr_recorder_cover_process(struct vcr_recorder *r, struct process *p, const char *exe); /* it reports itself */
void vcr_recorder_cover_seen(struct process *p, const char *exe);             /* the supervisor has met it, and it has not reported */
void vcr_recorder_cover_exec(struct process *p, bool replaces);               /* its run has just been announced */
void vcr_recorder_cover_run(struct vcr_recorder *r, struct process *p);       /* its run ends */
void vcr_recorder_cover_dropped(struct vcr_recorder *r, int pid);              /* what it could not append, once; pid 0: what anybody could not */
void vcr_recorder_coverage_write(struct vcr_jw *w, const struct vcr_recorder *r);
void vcr_recorder_why_no_calls(const struct vcr_recorder *r, struct vcr_buf *out); /* nothing if there were some */
/* recorder-context.c: the line about it, behind the header of a new session. */
void vcr_recorder_write_context(struct vcr_recorder *r);
/* What is not the agent's work: the configured patterns, and our own directories. */
int vcr_recorder_make_ignore(struct vcr_recorder *r, char *const *configured);
void vcr_recorder_coverage_free(struct vcr_recorder *r);
/* recorder-annotate.c. A note: what is wrong with it, or NULL (counted already). pid 0: everybody's. seq 0: not from the spool. */
const char *vcr_recorder_note(struct vcr_recorder *r, const char *text, size_t n, int pid, int tid, uint64_t time_ns, uint64_t seq);
void vcr_recorder_note_refuse(struct vcr_recorder *r, const char *why);
const char *vcr_recorder_node(struct vcr_recorder *r, int pid, int tid);      /* frame id of the innermost open node around pid's doings; tid 0: any thread's; NULL */
const char *vcr_recorder_node_parent(struct vcr_recorder *r, int pid);        /* … of the last model call in it, else of itself; NULL: no node is open */
void vcr_recorder_node_called(struct vcr_recorder *r, int pid, int tid, const char *frame_id);
void vcr_recorder_notes_gone(struct vcr_recorder *r, int pid, uint64_t mono_ns); /* open nodes of pid (-1: all) will not be ended by anybody */
void vcr_recorder_notes_write(const struct vcr_recorder *r, struct vcr_jw *w);   /* members of vcr.end */
void vcr_recorder_notes_free(struct vcr_recorder *r);
/* recorder-notes.c: the file of $VCR_ANNOTATE. last: read all of it, nobody writes any more, and remove it. */
void vcr_recorder_notes_open(struct vcr_recorder *r);
void vcr_recorder_notes_close(struct vcr_recorder *r, bool last);
/* recorder-sentinel.c */
void vcr_recorder_sentinel_new(struct vcr_recorder *r, const char *program, const char *const *argv); /* of the judge */
void vcr_recorder_sentinel_ready(struct vcr_recorder *r);                        /* the base is scanned: the judge may begin */
/* The frame of that change is written: it is to be judged. */
void vcr_recorder_sentinel_change(struct vcr_recorder *r, const struct vcr_change *c, const char *node, const char *frame_id, const struct vcr_recorder_owner *o);
void vcr_recorder_sentinel_asked(struct vcr_recorder *r);                        /* a model is asked; what was written before has been handed to the judge */
/* A program has ended; an answer has come: one that says that the tests pass, when none was run or the last run failed, is a finding (claims.h). */
void vcr_recorder_sentinel_ran(struct vcr_recorder *r, const struct run *run, const char *frame_id, bool passed);
void vcr_recorder_sentinel_said(struct vcr_recorder *r, const char *frame_id, const struct vcr_json *message);
/* A run of the user's tests is to come: what is said of tests from now on can be held against it. What it has come to. in_words: "exit 1". */
void vcr_recorder_sentinel_testing(struct vcr_recorder *r);
void vcr_recorder_sentinel_tested(struct vcr_recorder *r, const char *frame_id, bool passed, const char *command, const char *in_words);
void vcr_recorder_sentinel_end(struct vcr_recorder *r);                          /* wait for its answers, within bounds */
void vcr_recorder_sentinel_write(const struct vcr_recorder *r, struct vcr_jw *w); /* a member of vcr.end */
void vcr_recorder_sentinel_free(struct vcr_recorder *r);
/* recorder-tests.c */
void vcr_recorder_tests_new(struct vcr_recorder *r, const struct vcr_recorder_options *o);
void vcr_recorder_tests_change(struct vcr_recorder *r, const struct vcr_change *c);
void vcr_recorder_tests_savepoint(struct vcr_recorder *r, const struct vcr_savepoint *p); /* one was taken; base: what is tested is what differs from it */
void vcr_recorder_tests_end(struct vcr_recorder *r);                             /* the last run is waited for, within bounds */
void vcr_recorder_tests_write(const struct vcr_recorder *r, struct vcr_jw *w);   /* a member of vcr.end */
void vcr_recorder_tests_free(struct vcr_recorder *r);
/* recorder-save.c */
void vcr_recorder_save_base(struct vcr_recorder *r);
void vcr_recorder_save_end(struct vcr_recorder *r);
void vcr_recorder_dirty(struct vcr_recorder *r, const char *path, bool deep);
/* A file is not any more what it was, and had that time then; written by the next sweep, savepoint or end. */
void vcr_recorder_aged(struct vcr_recorder *r, const char *path, int64_t mtime_ns);
void vcr_recorder_keep_times(struct vcr_recorder *r);
int vcr_recorder_save(struct vcr_recorder *r, const char *kind, const char *frame_id, const char *message, int64_t as_of_ns, struct vcr_savepoint *out);
void vcr_recorder_write_savepoints(const struct vcr_recorder *r, struct vcr_jw *w);
void vcr_recorder_save_close(struct vcr_recorder *r);

#endif
