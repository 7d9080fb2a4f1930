/* recorder-coverage.c — per program that ran: what the recorder saw of it, and where it saw nothing, why. Silence is a defect: a session without
 * model calls has a reason and, as far as there is one, the option that helps. */
#include "recorder-parts.h"
#include "program.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PROGRAMS = 512 };

/* Beside the kinds of a file (VCR_PROGRAM_TAKES: the library was in it): it was to be in it and did not report. */
enum { STRIPPED = VCR_PROGRAM_UNKNOWN + 1 };

static const char *how_word(int how)
{
	return how == STRIPPED ? "stripped" : vcr_program_kind_word((enum vcr_program_kind)how);
}

void vcr_recorder_unseen(struct vcr_recorder *r, const char *why)
{
	if (!strstr(r->unseen.data, why))
		vcr_buf_printf(&r->unseen, "%s\n", why);
}

void vcr_recorder_lost(struct vcr_recorder *r, const struct vcr_spool_event *ev)
{
	static const size_t n = sizeof VCR_LOST_NOTE - 1;
	if (!strncmp(ev->payload, VCR_LOST_NOTE, n)) {
		vcr_recorder_note_refuse(r, ev->payload + n);
	} else {
		vcr_recorder_ready(r);
		vcr_recorder_unseen(r, ev->payload);
	}
}

/* A recording that keeps programs from the network is a deterministic one. */
void vcr_recorder_refused(struct vcr_recorder *r, const struct vcr_spool_event *ev)
{
	VCR_AUTO_BUF words = VCR_BUF_INIT;
	const char *where = ev->size > sizeof(struct vcr_rec_refused) ? vcr_spool_string(ev, sizeof(struct vcr_rec_refused), 0) : "";
	for (const char *p = where; *p; p++)
		vcr_buf_putc(&words, *p > ' ' && *p < 127 ? *p : '?');
	vcr_buf_puts(&words, " was refused: a program whose chance is the session's (--deterministic) reaches only model hosts");
	vcr_recorder_ready(r);
	vcr_recorder_unseen(r, words.data);
}

static struct coverage *find(struct vcr_recorder *r, const char *program, int how, int *n)
{
	for (struct coverage *c = r->coverage; c; c = c->next, ++*n)
		if (c->how == how && !strcmp(c->program, program))
			return c;
	return NULL;
}

static struct coverage *entry_of(struct vcr_recorder *r, const char *program, int how)
{
	int n = 0;
	struct coverage *c = find(r, program, how, &n);
	if (!c && n >= MOST_PROGRAMS && !(c = find(r, program = "(others)", how, &n)) && n >= 3 * MOST_PROGRAMS)
		return NULL;
	if (c || !(c = calloc(1, sizeof *c)))
		return c;
	if (!(c->program = strdup(program))) {
		free(c);
		return NULL;
	}
	c->how = how;
	c->next = r->coverage;
	return r->coverage = c;
}

static int kind_of(const char *command, const char *dir, char name[64])
{
	struct vcr_program *file = malloc(sizeof *file);
	char *path = malloc(VCR_PROGRAM_PATH);
	int kind = VCR_PROGRAM_UNKNOWN;
	if (file && path && vcr_program_find(command, dir && *dir ? dir : NULL, path)) {
		vcr_program_look(path, file);
		kind = file->kind;
		const char *slash = strrchr(file->path, '/');
		snprintf(name, 64, "%.63s", slash ? slash + 1 : file->path);
	}
	free(file);
	free(path);
	return kind;
}

/* Of a process that has not reported since its exec, once. */
static void look(struct process *p)
{
	char name[64] = "";
	if (p->joined || p->looked || !p->run.path)
		return;
	int kind = kind_of(p->run.path, p->run.cwd, name);
	p->looked = true;
	p->how = kind == VCR_PROGRAM_TAKES || kind == VCR_PROGRAM_UNKNOWN ? STRIPPED : kind;
	if (p->how == STRIPPED || !*name)
		return;
	free(p->program);
	p->program = strdup(name);
}

void vcr_recorder_cover_seen(struct process *p, const char *exe)
{
	char name[64] = "";
	if (p->joined || p->looked || p->run.path)
		return;
	int kind = kind_of(exe, NULL, name);
	p->looked = true;
	p->how = kind == VCR_PROGRAM_TAKES || kind == VCR_PROGRAM_UNKNOWN ? STRIPPED : kind;
}

struct coverage *vcr_recorder_coverage(struct vcr_recorder *r, int pid)
{
	struct process *p = vcr_recorder_process(r, pid, false);
	if (p)
		look(p);
	return entry_of(r, p && p->program ? p->program : "?", p && !p->joined && p->looked ? p->how : p ? p->how_joined : VCR_PROGRAM_TAKES);
}

void vcr_recorder_cover_process(struct vcr_recorder *r, struct process *p, const char *exe)
{
	char name[64];
	int n = 0;
	p->joined = true;
	p->how_joined = VCR_PROGRAM_TAKES;
	if (!p->program)
		return;
	struct coverage *c = find(r, p->program, VCR_PROGRAM_TAKES, &n);
	if (!c && (c = find(r, p->program, VCR_PROGRAM_GO, &n)))
		p->how_joined = VCR_PROGRAM_GO;
	if (!c) { /* a kind that takes the library and is not seen by it */
		p->how_joined = kind_of(exe, NULL, name) == VCR_PROGRAM_GO ? VCR_PROGRAM_GO : VCR_PROGRAM_TAKES;
		c = entry_of(r, p->program, p->how_joined);
	}
	if (c)
		c->processes++;
}

void vcr_recorder_cover_exec(struct process *p, bool replaces)
{
	const char *slash = p->run.path ? strrchr(p->run.path, '/') : NULL, *name = slash && slash[1] ? slash + 1 : p->run.path;
	p->looked = false;
	if (!replaces && p->joined)
		return; /* it has reported before its parent did */
	p->joined = false;
	if (name) {
		free(p->program);
		p->program = strdup(name);
	}
}

void vcr_recorder_cover_run(struct vcr_recorder *r, struct process *p)
{
	if (p->joined)
		return;
	look(p);
	struct coverage *c = p->looked && p->program ? entry_of(r, p->program, p->how) : NULL;
	if (c)
		c->processes++;
}

void vcr_recorder_cover_dropped(struct vcr_recorder *r, int pid)
{
	for (int i = 0; i < VCR_SPOOL_DROPPED; i++) {
		struct vcr_spool_dropped *d = &r->spool->dropped[i];
		int whose = __atomic_load_n(&d->pid, __ATOMIC_RELAXED);
		if (!whose)
			return;
		uint32_t n = pid && pid != whose ? 0 : __atomic_exchange_n(&d->records, 0, __ATOMIC_RELAXED);
		struct coverage *c = n ? vcr_recorder_coverage(r, whose) : NULL;
		if (c)
			c->dropped += n;
	}
}

static const char *lane_of(const struct coverage *c)
{
	if (!c->tls && !c->plain)
		return "none";
	if (c->how != VCR_PROGRAM_TAKES && c->gated)
		return "lent";
	return !c->gated ? "tap" : c->gated == c->tls + c->plain ? "gate" : "tap, gate";
}

/* Why its model calls, if it made any, were not seen; NULL: they would have been. */
static const char *why_unseen(const struct coverage *c)
{
	if (c->how == VCR_PROGRAM_TAKES || c->calls)
		return NULL;
	return c->how != STRIPPED ? vcr_program_kind_line((enum vcr_program_kind)c->how) :
		"silent: the library did not report from it; it lost its environment where no hook could see it, or ended before its main";
}

void vcr_recorder_coverage_write(struct vcr_jw *w, const struct vcr_recorder *r)
{
	vcr_jw_key(w, "coverage");
	vcr_jw_array(w);
	for (const struct coverage *c = r->coverage; c; c = c->next) {
		const struct { const char *name, *s; } texts[] = { { "program", c->program }, { "how", how_word(c->how) }, { "lane", lane_of(c) }, { "why", why_unseen(c) } };
		const struct { const char *name; int64_t n; } list[] = {
			{ "processes", c->processes }, { "model_calls", c->calls }, { "tls_connections", c->tls }, { "plain_connections", c->plain },
			{ "bytes_out", c->bytes_out }, { "bytes_in", c->bytes_in }, { "dropped_records", c->dropped },
		};
		vcr_jw_object(w);
		for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
			vcr_jw_key(w, texts[i].name);
			vcr_jw_str(w, texts[i].s);
		}
		for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
			vcr_jw_key(w, list[i].name);
			vcr_jw_int(w, list[i].n);
		}
		vcr_jw_object_end(w);
	}
	vcr_jw_array_end(w);
}

/* The one that most likely called a model unseen: rather a static program than one that the system brings, such as sudo. */
static const struct coverage *suspect(const struct vcr_recorder *r)
{
	static const int rank[] = { [VCR_PROGRAM_TAKES] = 0, [VCR_PROGRAM_GO] = 6, [VCR_PROGRAM_STATIC] = 7, [VCR_PROGRAM_MUSL] = 5, [VCR_PROGRAM_FOREIGN] = 4,
		[VCR_PROGRAM_ASAN] = 3, [VCR_PROGRAM_SETID] = 1, [VCR_PROGRAM_UNKNOWN] = 0, [STRIPPED] = 2 };
	const struct coverage *found = NULL;
	for (const struct coverage *c = r->coverage; c; c = c->next)
		if (rank[c->how] > (found ? rank[found->how] : 0))
			found = c;
	return found;
}

static void tell_suspect(const struct vcr_recorder *r, const struct coverage *c, struct vcr_buf *out)
{
	bool gate = __atomic_load_n(&r->spool->gate.state, __ATOMIC_ACQUIRE) != VCR_LEAD_NONE;
	vcr_buf_printf(out, "%s is %s", c->program, why_unseen(c));
	if (c->how == VCR_PROGRAM_STATIC || c->how == VCR_PROGRAM_GO || c->how == VCR_PROGRAM_MUSL)
		vcr_buf_puts(out, gate ? "; the gate was there, but it called no model through HTTPS_PROXY" : "; there was no gate: --lane=auto, the default, lends it one");
}

static bool has_spoken(const struct vcr_recorder *r)
{
	int64_t bytes = 0;
	for (const struct coverage *c = r->coverage; c; c = c->next)
		bytes += c->bytes_out + c->bytes_in;
	return bytes > 0;
}

void vcr_recorder_why_no_calls(const struct vcr_recorder *r, struct vcr_buf *out)
{
	const struct coverage *c = suspect(r);
	if (r->calls)
		return;
	if (r->unseen.len) {
		vcr_buf_add(out, r->unseen.data, strcspn(r->unseen.data, "\n"));
		return;
	}
	if (c)
		tell_suspect(r, c, out);
	if (has_spoken(r)) /* some that failed do not */
		vcr_buf_printf(out, "%sconnections were seen, but none carried a request of a known model API; if it is a model, add its host: model-host HOST in .vcr/config",
			out->len ? ". " : "");
	else if (!c)
		vcr_buf_puts(out, "no program of the session used TLS through an OpenSSL that it shares or exports, nor plain HTTP; --lane=gate leads whatever "
			"asks for a model's host through the gate");
}

void vcr_recorder_coverage_free(struct vcr_recorder *r)
{
	for (struct coverage *c = r->coverage, *next; c; c = next) {
		next = c->next;
		free(c->program);
		free(c);
	}
	r->coverage = NULL;
}
