/* replay-own.c — the session in which a replay writes down where it diverged. */
#include "../lib/golden.h"
#include "paths.h"
#include "replaying.h"
#include <stdio.h>
#include <string.h>

const char *vcr_replay_name(const struct replay *r)
{
	static char name[32];
	const char *base = strrchr(r->path.data, '/'), *golden = r->path.data + (r->path.len > 28 ? r->path.len - 28 : 0);
	if (!base || strncmp(golden, "/golden/", 8) || !vcr_golden_is_fingerprint(base + 1, strcspn(base + 1, ".")))
		return vcr_reader_header(r->reader)->session_id;
	snprintf(name, sizeof name, "golden/%.16s", base + 1);
	return name;
}

static bool own_session(struct replay *r)
{
	VCR_AUTO_BUF meta = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	struct vcr_jw w;
	if (r->own || r->own_failed)
		return r->own != NULL;
	const char *of = vcr_reader_header(r->reader)->session_id;
	vcr_jw_init(&w, &meta);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "replay_of");
	vcr_jw_str(&w, vcr_replay_name(r));
	vcr_jw_object_end(&w);
	vcr_paths_new_session_id(r->own_id);
	struct vcr_session_options o = { .session_id = r->own_id, .parent_session_id = of, .forked_from_frame = -1, .metadata_json = meta.data,
		.tags = (const char *const[]){ "replay", NULL } };
	if (vcr_session_create(&r->own, r->vcr_dir.data, &o, &e)) {
		vcr_say(r->t, "the divergence is not written down: %s", e.what);
		r->own = NULL;
		r->own_failed = true;
	}
	return r->own != NULL;
}

static void write_request(struct vcr_jw *w, const struct vcr_replay_event *ev)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	vcr_jw_object(w);
	vcr_jw_key(w, "method");
	vcr_jw_str(w, ev->method);
	vcr_jw_key(w, "host");
	vcr_jw_str(w, ev->host);
	vcr_jw_key(w, "path");
	vcr_jw_str(w, ev->target);
	vcr_jw_key(w, "request");
	if (ev->nbody && !vcr_json_parse(&j, ev->body, ev->nbody, 0, NULL))
		vcr_jw_value(w, &j, 0);
	else
		vcr_jw_strn(w, ev->body, ev->nbody);
	vcr_jw_object_end(w);
}

static void write_divergence(struct vcr_jw *w, const struct vcr_replay_event *ev)
{
	static const char *const kinds[] = { "place", "query", "body", "spent" };
	const struct vcr_divergence *d = ev->divergence;
	vcr_jw_object(w);
	vcr_jw_key(w, "divergence");
	vcr_jw_object(w);
	vcr_jw_key(w, "kind");
	vcr_jw_str(w, kinds[d->kind]);
	vcr_jw_key(w, "nearest_frame");
	if (d->nearest && d->nearest->frame >= 0)
		vcr_jw_int(w, d->nearest->frame);
	else
		vcr_jw_null(w);
	if (d->kind == VCR_MISS_BODY || d->kind == VCR_MISS_QUERY) {
		const struct { const char *key; const struct vcr_buf *b; } texts[] = { { "pointer", &d->pointer }, { "recorded", &d->recorded }, { "now", &d->live } };
		for (size_t i = 0; i < 3; i++) {
			vcr_jw_key(w, texts[i].key);
			vcr_jw_strn(w, texts[i].b->data, texts[i].b->len);
		}
		vcr_jw_key(w, "common_items");
		vcr_jw_int(w, (int64_t)d->common);
	}
	vcr_jw_object_end(w);
	vcr_jw_object_end(w);
}

void vcr_replay_write_miss(struct replay *r, const struct vcr_replay_event *ev)
{
	VCR_AUTO_BUF in = VCR_BUF_INIT, out = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	struct vcr_jw w;
	if (!own_session(r))
		return;
	vcr_jw_init(&w, &in);
	write_request(&w, ev);
	vcr_jw_init(&w, &out);
	write_divergence(&w, ev);
	struct vcr_frame f = { .type = VCR_FRAME_ERROR, .node_name = "replay:divergence", .input_json = in.data, .output_json = out.data, .tokens_in = -1, .tokens_out = -1,
		.tokens_total = -1, .cost_usd = -1, .error_type = "replay_miss", .error_message = ev->words };
	if (vcr_session_add_frame(r->own, &f, NULL, &e))
		vcr_say(r->t, "the divergence is not written down: %s", e.what);
}

void vcr_replay_end_own(struct replay *r)
{
	if (!r->own)
		return;
	vcr_session_end(r->own, NULL, NULL);
	r->own = NULL;
	vcr_say(r->t, "where it diverged is in session %s   (vcr-log %s)", r->own_id, r->own_id);
}
