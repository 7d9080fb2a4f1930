#include "reminded.h"
#include "envelope.h"
#include "limits.h"
#include "reminder.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { JUDGE_MS = 3000, AGAIN_MS = 300 /* when nothing has been judged since a request waited so long */, MOST_CALLS = 16, MOST_ID = 200, MOST_LINE = 1 << 20, PATIENCE = 4 };

/* A reminder: new until it has its place. */
struct words {
	char *text;
	int64_t id;
	char *call[MOST_CALLS];      /* ids of tool calls, one of which its conversation carries; none: any conversation */
	int ncall;
	int passed;                  /* requests that went on from a model's answer and carried none of them */
	bool placed, written;        /* written: the session has its text */
	struct vcr_reminder_place place;
};

/* A reminder's words as a recording has them. */
struct recorded { const struct vcr_reader *reader; int64_t id; char *text; };

struct vcr_reminded {
	struct vcr_spool_header *h;  /* NULL: it recalls */
	const char *const *hosts;
	char path[VCR_MAX_PATH];
	int fd;
	struct vcr_buf in;
	struct words *words[VCR_MAX_REMINDERS];
	size_t n;
	char *blockers;              /* a line each; NULL none */
	uint64_t gave_up;            /* `judged` when it had been waited for long enough */
	bool stops;
	struct recorded *recorded;
	size_t nrecorded;
};

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- What the collector says ---- */

static void free_words(struct words *w)
{
	for (int i = 0; w && i < w->ncall; i++)
		free(w->call[i]);
	if (w)
		free(w->text);
	free(w);
}

static void take_reminder(struct vcr_reminded *r, const struct vcr_json *j)
{
	struct words *w = r->n < VCR_MAX_REMINDERS ? calloc(1, sizeof *w) : NULL;
	int calls = vcr_json_get(j, 0, "tool_calls");
	if (!w)
		return;
	w->text = vcr_json_strdup(j, vcr_json_get(j, 0, "text"));
	vcr_json_int(j, vcr_json_get(j, 0, "id"), &w->id);
	for (int m = vcr_json_type(j, calls) == VCR_JSON_ARRAY ? vcr_json_first(j, calls) : -1; m >= 0 && w->ncall < MOST_CALLS; m = vcr_json_next(j, m))
		if ((w->call[w->ncall] = vcr_json_strdup(j, m)))
			w->ncall++;
	if (w->text)
		r->words[r->n++] = w;
	else
		free_words(w);
}

static void take_blockers(struct vcr_reminded *r, const struct vcr_json *j, int list)
{
	struct vcr_buf b = VCR_BUF_INIT;
	for (int m = vcr_json_first(j, list); m >= 0; m = vcr_json_next(j, m)) {
		vcr_buf_puts(&b, b.len ? "\n" : "");
		vcr_json_str(j, m, &b);
	}
	free(r->blockers);
	r->blockers = b.len ? vcr_buf_take(&b, NULL) : NULL;
	vcr_buf_release(&b);
}

/* By the gate that was here before us, or by ourselves. */
static void take_place(struct vcr_reminded *r, const struct vcr_json *j, int placed)
{
	int64_t id = 0, items = 0;
	char *prefix = vcr_json_strdup(j, vcr_json_get(j, 0, "prefix"));
	if (prefix && vcr_json_int(j, placed, &id) && vcr_json_int(j, vcr_json_get(j, 0, "items"), &items) && items > 0)
		for (size_t i = 0; i < r->n; i++)
			if (r->words[i]->id == id) {
				r->words[i]->placed = true;
				r->words[i]->place = (struct vcr_reminder_place){ (size_t)items, strtoull(prefix, NULL, 16) };
			}
	free(prefix);
}

static void take_line(struct vcr_reminded *r, const char *p, size_t n)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	if (vcr_json_parse(&j, p, n, 0, NULL))
		return;
	int blockers = vcr_json_get(&j, 0, "blockers"), placed = vcr_json_get(&j, 0, "placed");
	if (vcr_json_type(&j, blockers) == VCR_JSON_ARRAY)
		take_blockers(r, &j, blockers);
	else if (placed >= 0)
		take_place(r, &j, placed);
	else
		take_reminder(r, &j);
}

/* What is new in the file. */
static void read_on(struct vcr_reminded *r)
{
	char part[16 << 10], *end;
	ssize_t n;
	if (r->fd < 0)
		r->fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	while (r->fd >= 0 && (n = read(r->fd, part, sizeof part)) > 0 && !vcr_buf_add(&r->in, part, (size_t)n))
		while ((end = memchr(r->in.data, '\n', r->in.len))) {
			size_t k = (size_t)(end - r->in.data);
			take_line(r, r->in.data, k);
			vcr_buf_drop(&r->in, k + 1);
		}
	if (r->in.err || r->in.len > MOST_LINE)
		vcr_buf_reset(&r->in);
}

/* ---- A request ---- */

/* Has it ended, or died, perhaps without anybody's having noticed yet? */
static bool is_gone(const struct vcr_reminded *r)
{
	uint32_t collector = __atomic_load_n(&r->h->collector, __ATOMIC_ACQUIRE);
	int32_t pid = __atomic_load_n(&r->h->collector_pid, __ATOMIC_ACQUIRE);
	if (collector == VCR_COLLECTOR_ENDED || collector == VCR_COLLECTOR_NONE)
		return true;
	int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1; /* Linux 5.3 */
	if (fd < 0)
		return pid > 0 && errno == ESRCH;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	bool gone = poll(&p, 1, 0) == 1;
	close(fd);
	return gone;
}

static bool is_judged(struct vcr_reminded *r, uint64_t begun, uint64_t ns)
{
	uint64_t judged = __atomic_load_n(&r->h->judged, __ATOMIC_ACQUIRE);
	uint64_t ms = r->gave_up && judged == r->gave_up - 1 ? AGAIN_MS : JUDGE_MS;
	if (judged >= begun || is_gone(r))
		return true;
	if (now_ns() < ns + ms * 1000000u)
		return false;
	r->gave_up = judged + 1;
	return true;
}

static bool carries(const struct vcr_gate_request *q, const struct words *w)
{
	for (int i = 0; i < w->ncall; i++) {
		size_t n = strlen(w->call[i]);
		if (n && n <= MOST_ID && memmem(q->body, q->nbody, w->call[i], n))
			return true;
	}
	return !w->ncall;
}

/* For a gate that takes over: a line in the file where the words stand. Should that be full, they will be told twice. */
static void note_place(const struct vcr_reminded *r, const struct words *w)
{
	char line[120];
	int n = snprintf(line, sizeof line, "{\"placed\":%lld,\"items\":%zu,\"prefix\":\"%016llx\"}\n", (long long)w->id, w->place.items, (unsigned long long)w->place.prefix);
	int fd = open(r->path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && write(fd, line, (size_t)n) < 0)
		fd = (close(fd), -1);
	if (fd >= 0)
		close(fd);
}

/* Words whose conversation does not ask again go to another one in the end. */
static void place_new(struct vcr_reminded *r, const struct vcr_gate_request *q, struct vcr_reminder_place place)
{
	for (size_t i = 0; i < r->n; i++) {
		struct words *w = r->words[i];
		if (w->placed || (!carries(q, w) && ++w->passed < PATIENCE))
			continue;
		w->placed = true;
		w->place = place;
		note_place(r, w);
	}
}

static bool put_words(struct vcr_reminded *r, enum vcr_api api, const struct vcr_gate_request *q, const struct vcr_json *j, struct vcr_buf *body, struct vcr_buf *told)
{
	struct vcr_reminder list[VCR_MAX_REMINDERS];
	struct words *of[VCR_MAX_REMINDERS];
	bool put[VCR_MAX_REMINDERS];
	size_t n = 0;
	struct vcr_jw w;
	for (size_t i = 0; i < r->n; i++)
		if (r->words[i]->placed) {
			of[n] = r->words[i];
			list[n++] = (struct vcr_reminder){ r->words[i]->place, r->words[i]->text, strlen(r->words[i]->text) };
		}
	if (!n || vcr_reminder_put(api, q->target, j, list, n, put, body))
		return false;
	vcr_jw_init(&w, told);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "reminders");
	vcr_jw_array(&w);
	for (size_t i = 0; i < n; i++) {
		if (!put[i])
			continue;
		vcr_jw_object(&w);
		vcr_jw_key(&w, "id");
		vcr_jw_int(&w, of[i]->id);
		vcr_jw_key(&w, "items");
		vcr_jw_int(&w, (int64_t)of[i]->place.items);
		if (!of[i]->written) {
			vcr_jw_key(&w, "text");
			vcr_jw_str(&w, of[i]->text);
		}
		of[i]->written = true;
		vcr_jw_object_end(&w);
	}
	vcr_jw_array_end(&w);
	vcr_jw_object_end(&w);
	return true;
}

static void refuse(struct vcr_reminded *r, enum vcr_api api, struct vcr_buf *body, struct vcr_buf *told)
{
	VCR_AUTO_BUF message = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_buf_printf(&message, "vcr sentinel: the code that was written must be mended before the model is asked again: %s", r->blockers);
	vcr_envelope(api, 400, message.data, "vcr_sentinel_blocked", NULL, body);
	vcr_jw_init(&w, told);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "refused");
	vcr_jw_str(&w, r->blockers);
	vcr_jw_object_end(&w);
	r->stops |= r->h->sentinel == VCR_SENTINEL_STOP;
}

static bool is_plain(const struct vcr_gate_request *q)
{
	const char *coding = vcr_http1_field(q->field, q->nfield, "content-encoding");
	return q->nbody && (!coding || !*coding || !strcmp(coding, "identity"));
}

static enum vcr_api api_of(const struct vcr_reminded *r, const struct vcr_gate_request *q)
{
	return vcr_api_recognise(q->method, q->host, q->target, vcr_http1_field(q->field, q->nfield, "content-type"), r->hosts);
}

enum vcr_forward_way vcr_reminded_way(struct vcr_reminded *r, const struct vcr_gate_request *q, uint64_t begun, uint64_t ns, struct vcr_buf *body, struct vcr_buf *told)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_reminder_place place;
	bool goes_on = false;
	if ((r->h ? r->h->sentinel < VCR_SENTINEL_WARN : !r->n) || !is_plain(q))
		return VCR_FORWARD_AS_IT_IS;
	enum vcr_api api = api_of(r, q);
	if (!vcr_reminder_speaks(api))
		return VCR_FORWARD_AS_IT_IS;
	if (!r->h)
		return !vcr_json_parse(&j, q->body, q->nbody, 0, NULL) && put_words(r, api, q, &j, body, told) ? VCR_FORWARD_INSTEAD : VCR_FORWARD_AS_IT_IS;
	if (!is_judged(r, begun, ns))
		return VCR_FORWARD_WAIT;
	read_on(r);
	if ((!r->n && !r->blockers) || vcr_json_parse(&j, q->body, q->nbody, 0, NULL))
		return VCR_FORWARD_AS_IT_IS;
	bool has_place = !vcr_reminder_find(api, q->target, &j, &place, &goes_on);
	if (has_place && goes_on && r->blockers && r->h->sentinel >= VCR_SENTINEL_BLOCK && !is_gone(r)) { /* who alone could see that they are mended */
		refuse(r, api, body, told);
		return VCR_FORWARD_ANSWERED;
	}
	if (has_place && goes_on)
		place_new(r, q, place);
	return put_words(r, api, q, &j, body, told) ? VCR_FORWARD_INSTEAD : VCR_FORWARD_AS_IT_IS;
}

bool vcr_reminded_stops(struct vcr_reminded *r)
{
	bool stops = r->stops;
	r->stops = false;
	return stops;
}

/* ---- What stood in a recording ---- */

/* The reminders of a frame, or -1. */
static int reminders_of(struct vcr_reader *reader, int64_t frame, struct vcr_reader_frame *f)
{
	int sentinel = vcr_reader_frame(reader, frame, f, NULL) || f->vcr < 0 ? -1 : vcr_json_get(f->j, f->vcr, "sentinel");
	int list = sentinel < 0 ? -1 : vcr_json_get(f->j, sentinel, "reminders");
	return list >= 0 && vcr_json_type(f->j, list) == VCR_JSON_ARRAY ? list : -1;
}

static void add_recorded(struct vcr_reminded *r, struct recorded one)
{
	struct recorded *more = reallocarray(r->recorded, r->nrecorded + 1, sizeof *more);
	if (!more) {
		free(one.text);
		return;
	}
	r->recorded = more;
	r->recorded[r->nrecorded++] = one;
}

/* The words of all its reminders: each stands in one frame only, which need not be among those that are served. */
static void read_recording(struct vcr_reminded *r, struct vcr_reader *reader)
{
	struct vcr_reader_frame f;
	size_t most = r->nrecorded + 1 + VCR_MAX_REMINDERS;
	add_recorded(r, (struct recorded){ reader, INT64_MIN, NULL }); /* it has been read */
	for (int64_t i = 0; i < vcr_reader_count(reader); i++) {
		int list = reminders_of(reader, i, &f);
		for (int m = list < 0 ? -1 : vcr_json_first(f.j, list); m >= 0 && r->nrecorded < most; m = vcr_json_next(f.j, m)) {
			struct recorded one = { reader, 0, vcr_json_strdup(f.j, vcr_json_get(f.j, m, "text")) };
			if (one.text && vcr_json_int(f.j, vcr_json_get(f.j, m, "id"), &one.id))
				add_recorded(r, one);
			else
				free(one.text);
		}
	}
}

static const char *recorded_words(const struct vcr_reminded *r, const struct vcr_reader *reader, int64_t id)
{
	for (size_t i = 0; i < r->nrecorded; i++)
		if (r->recorded[i].reader == reader && r->recorded[i].id == id)
			return r->recorded[i].text;
	return NULL;
}

/* Sessions that continue each other all say where the same words stand. */
static void take_recorded(struct vcr_reminded *r, const char *text, struct vcr_reminder_place place)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->words[i]->place.items == place.items && r->words[i]->place.prefix == place.prefix && !strcmp(r->words[i]->text, text))
			return;
	struct words *w = r->n < VCR_MAX_REMINDERS ? calloc(1, sizeof *w) : NULL;
	if (!w || !(w->text = strdup(text))) {
		free(w);
		return;
	}
	w->id = (int64_t)r->n + 1;
	w->placed = true;
	w->place = place;
	r->words[r->n++] = w;
}

void vcr_reminded_recall(struct vcr_reminded *r, struct vcr_reader *reader, int64_t frame, const struct vcr_gate_request *q)
{
	struct { int64_t id, items; } stood[VCR_MAX_REMINDERS];
	size_t n = 0;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_reader_frame f;
	struct vcr_reminder_place place;
	int list = reminders_of(reader, frame, &f);
	for (int m = list < 0 ? -1 : vcr_json_first(f.j, list); m >= 0 && n < VCR_MAX_REMINDERS; m = vcr_json_next(f.j, m))
		if (vcr_json_int(f.j, vcr_json_get(f.j, m, "id"), &stood[n].id) && vcr_json_int(f.j, vcr_json_get(f.j, m, "items"), &stood[n].items) && stood[n].items > 0)
			n++;
	if (!n || !is_plain(q) || vcr_json_parse(&j, q->body, q->nbody, 0, NULL))
		return;
	bool known = false;
	for (size_t i = 0; i < r->nrecorded && !known; i++)
		known = r->recorded[i].reader == reader;
	if (!known)
		read_recording(r, reader);
	for (size_t i = 0; i < n; i++) {
		const char *text = recorded_words(r, reader, stood[i].id);
		if (text && !vcr_reminder_at(api_of(r, q), q->target, &j, (size_t)stood[i].items, &place))
			take_recorded(r, text, place);
	}
}

int vcr_reminded_recalls(struct vcr_reminded **out, const char *const *hosts)
{
	struct vcr_reminded *r = calloc(1, sizeof *r);
	if (!r)
		return VCR_ENOMEM;
	r->hosts = hosts;
	r->fd = -1;
	vcr_buf_init(&r->in, 0);
	*out = r;
	return 0;
}

/* ---- The module ---- */

int vcr_reminded_new(struct vcr_reminded **out, const char *spool, struct vcr_spool_header *h, const char *const *hosts)
{
	struct vcr_reminded *r = calloc(1, sizeof *r);
	const char *slash = strrchr(spool, '/');
	char session[sizeof h->session];
	if (!r)
		return VCR_ENOMEM;
	r->h = h;
	r->hosts = hosts;
	r->fd = -1;
	vcr_buf_init(&r->in, 2 * MOST_LINE);
	snprintf(session, sizeof session, "%.*s", (int)sizeof session - 1, h->session); /* every process of the session can write there */
	if (!strchr(session, '/'))
		snprintf(r->path, sizeof r->path, "%.*s%s.sentinel", (int)(slash ? slash + 1 - spool : 0), spool, session);
	*out = r;
	return 0;
}

void vcr_reminded_free(struct vcr_reminded *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n; i++)
		free_words(r->words[i]);
	if (r->fd >= 0)
		close(r->fd);
	vcr_buf_release(&r->in);
	free(r->blockers);
	for (size_t i = 0; i < r->nrecorded; i++)
		free(r->recorded[i].text);
	free(r->recorded);
	free(r);
}
