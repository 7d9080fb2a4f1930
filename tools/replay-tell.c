/* replay-tell.c — what happens in a replay, as it happens, and how it ended. */
#include "hermetic.h"
#include "ledger.h"
#include "replaying.h"
#include "words.h"
#include <stdio.h>
#include <string.h>

enum { MOST_WORDS = 400, MOST_STRANGERS = 4096 /* bytes */ };

/* ---- What happens, as it happens ---- */

static void say_json(const struct replay *r, const char *event, const char *method, const char *target, int64_t frame, const char *words, double likeness)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_jw w;
	const struct { const char *key, *s; } strings[] = { { "event", event }, { "method", method }, { "path", target }, { "words", words } };
	vcr_jw_init(&w, &b);
	vcr_jw_object(&w);
	for (size_t i = 0; i < 4; i++)
		if (strings[i].s) {
			vcr_jw_key(&w, strings[i].key);
			vcr_jw_str(&w, strings[i].s);
		}
	if (frame >= 0) {
		vcr_jw_key(&w, "frame");
		vcr_jw_int(&w, frame);
	}
	if (likeness < 1) {
		vcr_jw_key(&w, "likeness");
		vcr_jw_double(&w, likeness);
	}
	vcr_jw_object_end(&w);
	FILE *to = r->command ? stderr : stdout; /* stdout is the command's */
	fprintf(to, "%s\n", b.data);
	fflush(to);
}

static void on_miss(struct replay *r, const struct vcr_replay_event *ev)
{
	bool call = ev->api != VCR_API_SIDE;
	++*(call ? &r->missed_calls : &r->missed_sides);
	if (r->t->json)
		say_json(r, call ? "missed" : "missed_side", ev->method, ev->target, -1, ev->words, 1);
	else if (call || r->t->verbose)
		vcr_say(r->t, "%s", ev->words);
	if (call)
		vcr_replay_write_miss(r, ev);
}

static void on_refused(struct replay *r, const struct vcr_replay_event *ev)
{
	vcr_refused_add(&r->refused, ev->host, 0);
	r->refused.times++;
	if (r->t->json)
		say_json(r, "refused", ev->method, ev->host, -1, NULL, 1);
}

static void on_live(struct replay *r, const struct vcr_replay_event *ev)
{
	bool call = ev->api != VCR_API_SIDE && ev->api != VCR_API_NONE;
	++*(call ? &r->live.calls : &r->live.sides);
	if (r->t->json && !r->t->quiet)
		say_json(r, call ? "live" : "live_side", ev->method, ev->target, -1, NULL, 1);
	else if (r->t->verbose)
		vcr_say(r->t, "%s %s goes to %s", ev->method, ev->target, ev->host);
}

void vcr_replay_fenced(void *ctx, const char *where, uint32_t kind)
{
	struct replay *r = ctx;
	vcr_refused_add(&r->refused, where, kind);
	if (r->t->json)
		say_json(r, "refused", vcr_refused_word(kind), where, -1, NULL, 1);
}

static bool ends(const char *words, size_t n, const char *how)
{
	return n >= strlen(how) && !strcmp(words + n - strlen(how), how);
}

void vcr_replay_lost(void *ctx, const char *words)
{
	struct replay *r = ctx;
	size_t n = strlen(words);
	VCR_AUTO_BUF safe = VCR_BUF_INIT;
	bool tools = ends(words, n, VCR_LOST_TOOLS) || ends(words, n, VCR_LOST_SOME_TOOLS) || ends(words, n, VCR_LOST_TOOL);
	if (!(r->deterministic && ends(words, n, VCR_LOST_CHANCE)) && !(r->hermetic && tools))
		return;
	vcr_safe_line(&safe, words, n, MOST_WORDS);
	vcr_buf_putc(&safe, '\n');
	if (r->strangers.len < MOST_STRANGERS && !strstr(r->strangers.data, safe.data))
		vcr_buf_puts(&r->strangers, safe.data);
}

static void say_strangers(const struct replay *r)
{
	for (const char *p = r->strangers.data, *end; (end = strchr(p, '\n')); p = end + 1)
		vcr_say(r->t, "%.*s", (int)(end - p), p);
}

/* The command's clock is at the time at which that answer began. */
static void set_clock(const struct replay *r, const struct vcr_recorded *c)
{
	if (r->determ && c->began_us > 0)
		vcr_determ_answered(r->determ, c->began_us + (c->ttfb_us > 0 ? c->ttfb_us : 0));
}

void vcr_replay_event(void *ctx, const struct vcr_replay_event *ev)
{
	struct replay *r = ctx;
	switch (ev->what) {
	case VCR_REPLAY_MISSED: on_miss(r, ev); break;
	case VCR_REPLAY_REFUSED: on_refused(r, ev); break;
	case VCR_REPLAY_CUT_SHORT: r->cut_short++; break;
	case VCR_REPLAY_LIVE: on_live(r, ev); break;
	case VCR_REPLAY_SERVED:
		r->served++;
		set_clock(r, ev->call);
		if (r->live.spooled.reminded && ev->request && ev->call->frame >= 0)
			vcr_reminded_recall(r->live.spooled.reminded, ev->call->reader, ev->call->frame, ev->request);
		if (r->t->json && !r->t->quiet)
			say_json(r, "served", ev->call->method, ev->call->path, ev->call->frame, vcr_rung_name(ev->rung), ev->call->likeness);
		else if (r->t->verbose)
			vcr_say(r->t, "%s %s: frame %lld (%s)", ev->call->method, ev->call->path, (long long)ev->call->frame, vcr_rung_name(ev->rung));
	}
}

/* ---- The end ---- */

static void write_member(struct vcr_jw *w, const char *name, const char *value)
{
	vcr_jw_key(w, name);
	vcr_jw_str(w, value);
}

int64_t vcr_replay_calls(const struct replay *r, int64_t *asked)
{
	struct vcr_match *m = vcr_replay_match(r->replay);
	int64_t n = 0;
	*asked = 0;
	for (size_t i = 0; i < vcr_match_count(m); i++) {
		const struct vcr_recorded *c = vcr_match_call(m, i);
		n += c->frame >= 0;
		*asked += c->frame >= 0 && c->given;
	}
	return n;
}

static void make_ledger(const struct replay *r, struct vcr_ledger *l)
{
	struct vcr_match *m = vcr_replay_match(r->replay);
	struct vcr_reader_frame f;
	for (size_t i = 0; i < vcr_match_count(m); i++) {
		const struct vcr_recorded *c = vcr_match_call(m, i);
		if (c->frame < 0 || !c->given || vcr_reader_frame(c->reader, c->frame, &f, NULL))
			continue;
		vcr_ledger_add(l, &f, c->given);
		l->replay.ms += (double)c->took_us / 1000;
	}
	for (int64_t i = 0; r->live.reader && i < vcr_reader_count(r->live.reader); i++)
		if (vcr_reader_brief(r->live.reader, i).call && !vcr_reader_frame(r->live.reader, i, &f, NULL))
			vcr_ledger_add_live(l, &f);
}

/* Recorded model calls that nobody asked for, as far as they can be listed. */
static void say_unused(const struct replay *r)
{
	enum { MOST = 10 };
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_match *m = vcr_replay_match(r->replay);
	size_t n = 0;
	for (size_t i = 0; i < vcr_match_count(m); i++) {
		const struct vcr_recorded *c = vcr_match_call(m, i);
		if (c->frame >= 0 && !c->given && ++n <= MOST)
			vcr_buf_printf(&b, "%s%lld", n > 1 ? ", " : "", (long long)c->frame);
	}
	if (n)
		vcr_say(r->t, "never asked for: frame%s %s%s   (vcr-show says what is in one)", n == 1 ? "" : "s", b.data, n > MOST ? " and others" : "");
}

static void write_unused(const struct replay *r, struct vcr_jw *w)
{
	struct vcr_match *m = vcr_replay_match(r->replay);
	vcr_jw_array(w);
	for (size_t i = 0; i < vcr_match_count(m); i++)
		if (vcr_match_call(m, i)->frame >= 0 && !vcr_match_call(m, i)->given)
			vcr_jw_int(w, vcr_match_call(m, i)->frame);
	vcr_jw_array_end(w);
}

/* How the answers were found. */
static void write_rungs(const struct replay *r, struct vcr_jw *w)
{
	VCR_AUTO_BUF names = VCR_BUF_INIT;
	struct vcr_match_stats s;
	vcr_match_stats(vcr_replay_match(r->replay), &s);
	vcr_jw_object(w);
	for (int i = VCR_RUNG_EXACT; i <= VCR_RUNG_STRUCTURAL; i++) {
		vcr_jw_key(w, vcr_rung_name((enum vcr_rung)i));
		vcr_jw_int(w, s.by_rung[i]);
	}
	vcr_jw_key(w, "missed");
	vcr_jw_int(w, r->missed_calls + r->missed_sides);
	vcr_normal_names(r->normalisers, &names);
	write_member(w, "normalisers", names.data);
	vcr_jw_object_end(w);
}

static void say_rungs(const struct replay *r)
{
	static const char *const words[] = { "the same to the byte", "the same in what they say", "the same but for dates, numbers and names that differ from run to run", "of the same structure only" };
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_match_stats s;
	vcr_match_stats(vcr_replay_match(r->replay), &s);
	int64_t others = s.by_rung[VCR_RUNG_CANONICAL] + s.by_rung[VCR_RUNG_NORMALISED] + s.by_rung[VCR_RUNG_STRUCTURAL];
	for (int i = VCR_RUNG_EXACT; others && i <= VCR_RUNG_STRUCTURAL; i++)
		if (s.by_rung[i] || i == VCR_RUNG_EXACT)
			vcr_buf_printf(&b, "%s%lld %s (%s)", b.len ? ", " : "", (long long)s.by_rung[i], words[i], vcr_rung_name((enum vcr_rung)i));
	if (b.len)
		vcr_say(r->t, "of the requests that were answered %s   (-v tells which)", b.data);
}

static void say_given_up(const struct replay *r)
{
	const char *name;
	while ((name = vcr_normal_user_take_given_up(r->normalisers)))
		vcr_say(r->t, "the normaliser %s of .vcr/config took too long and was given up; a simpler expression would not", name);
}

static void say_ledger(const struct replay *r)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_ledger l = { 0 };
	struct vcr_jw w;
	make_ledger(r, &l);
	if (r->t->json) {
		vcr_jw_init(&w, &b);
		vcr_jw_object(&w);
		write_member(&w, "event", "ledger");
		vcr_jw_key(&w, "ledger");
		vcr_ledger_write(&l, &w);
		vcr_jw_key(&w, "rungs");
		write_rungs(r, &w);
		vcr_jw_key(&w, "unused");
		write_unused(r, &w);
		if (r->hermetic) {
			vcr_jw_key(&w, "tools");
			vcr_hermetic_write(r->hermetic, &w);
		}
		vcr_jw_object_end(&w);
		fprintf(r->command ? stderr : stdout, "%s\n", b.data);
	} else if (l.replayed && !r->t->quiet) {
		vcr_words_ledger(&b, &l);
		vcr_say(r->t, "%s", b.data);
	}
}

void vcr_replay_summary(struct replay *r)
{
	VCR_AUTO_BUF refused = VCR_BUF_INIT;
	int64_t asked, calls = vcr_replay_calls(r, &asked);
	struct vcr_gate_stats gs;
	vcr_gate_stats(r->gate, &gs);
	if (!r->t->quiet) {
		if (r->reader || !r->online)
			vcr_say(r->t, "%lld of %lld recorded model calls were asked for, %lld missed%s", (long long)asked, (long long)calls, (long long)r->missed_calls,
				r->missed_calls || r->online ? "" : "; nothing went to the network");
		if (r->online)
			vcr_say(r->t, "%lld model calls went to the network, recorded as session %s   (vcr-log %s)", (long long)r->live.calls, r->live.id, r->live.id);
		say_rungs(r);
		if (asked && !(r->online && r->mode != VCR_MODE_NEW_EPISODES))
			say_unused(r);
		if (r->missed_sides)
			vcr_say(r->t, "%lld other requests to model hosts were not in the recording (-v names them)", (long long)r->missed_sides);
		if (gs.refused)
			vcr_say(r->t, "%llu requests did not show the run's token and were refused", (unsigned long long)gs.refused);
	}
	if (!r->t->quiet || r->hermetic)
		say_strangers(r);
	say_given_up(r);
	say_ledger(r);
	if (r->hermetic)
		vcr_hermetic_say(r->hermetic);
	vcr_refused_say(&r->refused, &refused);
	if (refused.len)
		vcr_say(r->t, "%s", refused.data);
	vcr_replay_end_own(r);
}
