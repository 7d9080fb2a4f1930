/* rollback-tell.c — a rollback's plan, its refusals and its result in words. */
#include "rolling.h"
#include "beneath.h"
#include "words.h"
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_UNTIMED = 20 };

static unsigned type_of(const struct vcr_entry *entry)
{
	return entry->mode & VCR_ENTRY_TYPE;
}

bool vcr_rollback_does(const struct vcr_rollback_call *c, const struct vcr_rollback_item *i)
{
	return i->state == VCR_ROLLBACK_DO || (c->force && i->state == VCR_ROLLBACK_FOREIGN && !i->blocked);
}

static const char *action_of(const struct vcr_rollback_item *i)
{
	unsigned now = type_of(&i->now), to = type_of(&i->to);
	if (!to)
		return "remove";
	if (now != to)
		return now ? "replace" : "create";
	if (i->now.mode == i->to.mode && vcr_entry_alike(&i->now, &i->to))
		return "xattrs";
	return to == VCR_ENTRY_DIR || !memcmp(i->now.oid, i->to.oid, VCR_OID) ? "mode" : "restore";
}

/* Savepoints know of its time. */
static bool is_timeable(const struct vcr_rollback_item *i)
{
	return type_of(&i->to) == VCR_ENTRY_FILE || type_of(&i->to) == VCR_ENTRY_LINK;
}

/* The bytes stay. */
static bool keeps_content(const struct vcr_rollback_item *i)
{
	return !strcmp(action_of(i), "mode") || !strcmp(action_of(i), "xattrs");
}

static const char *state_name(enum vcr_rollback_state s)
{
	static const char *const names[] = { "do", "done", "foreign", "lost", "left" };
	return names[s];
}

/* ---- Who ---- */

static bool stat_of(const struct vcr_rollback_call *c, const char *path, struct stat *st)
{
	const char *name;
	int root = open(c->workspace, O_PATH | O_DIRECTORY | O_CLOEXEC), dir = root < 0 ? -1 : vcr_beneath_parent(root, path, &name);
	bool there = dir >= 0 && !fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW);
	if (dir >= 0)
		close(dir);
	if (root >= 0)
		close(root);
	return there;
}

/* Who made the state that the rollback takes away. */
static const struct vcr_who *own(struct vcr_rollback_call *c, const char *path)
{
	if (!c->knows_own && c->in)
		vcr_who_add(&c->own, c->in, c->session, INT64_MIN);
	c->knows_own = true;
	return vcr_who_find(&c->own, path);
}

static const struct vcr_who *other(struct vcr_rollback_call *c, const char *path)
{
	if (!c->knows_others)
		vcr_who_add_others(&c->others, c->vcr_dir, c->session, c->last_ns);
	c->knows_others = true;
	return vcr_who_find(&c->others, path);
}

static void owner_of(const struct stat *st, struct vcr_buf *out)
{
	struct passwd *pw = getpwuid(st->st_uid);
	if (pw)
		vcr_safe(out, pw->pw_name, strlen(pw->pw_name), 0);
	else
		vcr_buf_printf(out, "%u", (unsigned)st->st_uid);
}

static int64_t changed_ns(const struct stat *st)
{
	return (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
}

static void say_program(const struct vcr_who *w, struct vcr_buf *out)
{
	vcr_safe_line(out, *w->program ? w->program : "a program", *w->program ? strlen(w->program) : 9, 40);
	if (w->pid > 0)
		vcr_buf_printf(out, " (pid %lld)", (long long)w->pid);
}

/* "changed since by cat (pid 12) in session X, frame 3, at 10:00:00", or what the file itself says. */
static void say_foreign(struct vcr_rollback_call *c, const struct vcr_rollback_item *i, struct vcr_buf *out)
{
	const struct vcr_who *w = other(c, i->path);
	struct stat st;
	vcr_buf_puts(out, i->now.mode ? "changed" : "removed");
	if (w) {
		vcr_buf_puts(out, " since by ");
		say_program(w, out);
		vcr_buf_puts(out, " in session ");
		vcr_safe_line(out, w->session, strlen(w->session), 0);
		vcr_buf_printf(out, ", frame %lld, ", (long long)w->frame);
		vcr_words_time(out, w->time_ns, "%Y-%m-%d %H:%M:%S");
		return;
	}
	vcr_buf_puts(out, " by somebody else since; no session recorded it");
	if (i->now.mode && stat_of(c, i->path, &st)) {
		vcr_buf_puts(out, ": ");
		vcr_words_time(out, changed_ns(&st), "%Y-%m-%d %H:%M:%S");
		vcr_buf_puts(out, ", owner ");
		owner_of(&st, out);
	}
}

static void write_who(struct vcr_jw *w, const char *key, const struct vcr_who *who)
{
	VCR_AUTO_BUF when = VCR_BUF_INIT;
	if (!who)
		return;
	vcr_words_iso(&when, who->time_ns);
	vcr_jw_key(w, key);
	vcr_jw_object(w);
	vcr_jw_key(w, "session");
	vcr_jw_str(w, who->session);
	vcr_jw_key(w, "frame");
	vcr_jw_int(w, who->frame);
	vcr_jw_key(w, "program");
	vcr_jw_str(w, *who->program ? who->program : NULL);
	vcr_jw_key(w, "pid");
	vcr_jw_int(w, who->pid);
	vcr_jw_key(w, "time");
	vcr_jw_str(w, when.data);
	vcr_jw_object_end(w);
}

/* ---- Who has it open ---- */

void vcr_rollback_find_holders(struct vcr_rollback_call *c)
{
	const struct vcr_rollback *p = c->plan;
	struct stat *st = calloc(p->n + 1, sizeof *st);
	size_t *item = calloc(p->n + 1, sizeof *item), n = 0;
	for (size_t i = 0; st && item && i < p->n; i++) {
		unsigned now = type_of(&p->item[i].now);
		bool goes = now == VCR_ENTRY_FILE ? !keeps_content(&p->item[i]) : now == VCR_ENTRY_DIR && type_of(&p->item[i].to) != VCR_ENTRY_DIR;
		if (goes && vcr_rollback_does(c, &p->item[i]) && stat_of(c, p->item[i].path, &st[n]))
			item[n++] = i;
	}
	c->all_holders = true;
	if (n)
		c->nholder = vcr_holders_find(st, n, c->holder, VCR_ROLLBACK_HOLDERS, &c->all_holders);
	for (size_t i = 0; i < c->nholder; i++)
		c->holder[i].file = item[c->holder[i].file];
	free(st);
	free(item);
}

void vcr_rollback_tell_holders(const struct vcr_rollback_call *c)
{
	for (size_t i = 0; i < c->nholder && !c->t->json; i++) {
		const struct vcr_holder *h = &c->holder[i];
		VCR_AUTO_BUF path = VCR_BUF_INIT, program = VCR_BUF_INIT;
		vcr_safe(&path, c->plan->item[h->file].path, strlen(c->plan->item[h->file].path), 0);
		vcr_safe(&program, h->program, strlen(h->program), 0);
		vcr_say(c->t, "%s (pid %d) %s %s%s", program.data, h->pid, vcr_holder_word(h->how), path.data,
			h->how == VCR_HOLDER_STANDS ? "" : c->dry_run ? ": it would go on with the old file" : ": it goes on with the old file until it opens it again");
	}
	if (!c->all_holders)
		vcr_say(c->t, "not all running processes could be looked at: others may have such files open");
}

static void write_holders(const struct vcr_rollback_call *c, struct vcr_jw *w, size_t item)
{
	vcr_jw_key(w, "held_by");
	vcr_jw_array(w);
	for (size_t i = 0; i < c->nholder; i++) {
		if (c->holder[i].file != item)
			continue;
		vcr_jw_object(w);
		vcr_jw_key(w, "pid");
		vcr_jw_int(w, c->holder[i].pid);
		vcr_jw_key(w, "program");
		vcr_jw_str(w, c->holder[i].program);
		vcr_jw_key(w, "how");
		vcr_jw_str(w, vcr_holder_word(c->holder[i].how));
		vcr_jw_object_end(w);
	}
	vcr_jw_array_end(w);
}

/* ---- An item ---- */

static void say_why(struct vcr_rollback_call *c, const struct vcr_rollback_item *i, struct vcr_buf *out)
{
	switch (i->state) {
	case VCR_ROLLBACK_FOREIGN:
		say_foreign(c, i, out);
		break;
	case VCR_ROLLBACK_LOST:
		vcr_buf_puts(out, "its content was not kept: too large for a savepoint, or in a directory that packages or a build fill, and no hook saw it go");
		break;
	case VCR_ROLLBACK_LEFT:
		vcr_buf_puts(out, i->ignored ? "stays: git ignored it when that savepoint was taken" : type_of(&i->now) == VCR_ENTRY_DIR ? "stays: there is something in it that no savepoint knows"
			: "stays: its content is not kept, so it could not come back");
		break;
	default:
		break;
	}
}

static void say_mode(const struct vcr_entry *entry, struct vcr_buf *out)
{
	vcr_buf_printf(out, "%o", entry->mode & 07777);
}

/* "812 -> 12.3K bytes, mode 644 -> 755; it was written by bash (pid 12), frame 3" */
static void say_detail(struct vcr_rollback_call *c, const struct vcr_rollback_item *i, struct vcr_buf *out)
{
	VCR_AUTO_BUF content = VCR_BUF_INIT;
	struct stat st;
	const struct vcr_who *w = own(c, i->path);
	if (type_of(&i->now) == VCR_ENTRY_FILE && stat_of(c, i->path, &st) && !keeps_content(i))
		vcr_words_bytes(out, st.st_size);
	if (type_of(&i->to) == VCR_ENTRY_FILE && !keeps_content(i) && !vcr_store_read(c->store, &i->to, &content, NULL)) {
		vcr_buf_puts(out, out->len ? " -> " : "");
		vcr_words_bytes(out, (int64_t)content.len);
	}
	vcr_buf_puts(out, out->len ? " bytes" : "");
	if (i->now.mode && i->to.mode && type_of(&i->now) != VCR_ENTRY_LINK && type_of(&i->to) != VCR_ENTRY_LINK && (i->now.mode & 07777) != (i->to.mode & 07777)) {
		vcr_buf_puts(out, out->len ? ", mode " : "mode ");
		say_mode(&i->now, out);
		vcr_buf_puts(out, " -> ");
		say_mode(&i->to, out);
	}
	if (w) {
		vcr_buf_puts(out, out->len ? "; by " : "by ");
		say_program(w, out);
		vcr_buf_printf(out, ", frame %lld", (long long)w->frame);
	}
}

static void item_json(struct vcr_rollback_call *c, const struct vcr_rollback_item *i, const char *state)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_jw w;
	char mode[16];
	vcr_jw_init(&w, &out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "path");
	vcr_jw_str(&w, i->path);
	vcr_jw_key(&w, "action");
	vcr_jw_str(&w, action_of(i));
	vcr_jw_key(&w, "state");
	vcr_jw_str(&w, state);
	vcr_jw_key(&w, "mode");
	snprintf(mode, sizeof mode, "%06o", i->to.mode);
	vcr_jw_str(&w, i->to.mode ? mode : NULL);
	if (c->plan->times && is_timeable(i)) {
		vcr_jw_key(&w, "mtime");
		if (i->timed)
			vcr_jw_int(&w, i->mtime_ns);
		else
			vcr_jw_str(&w, NULL);
	}
	write_who(&w, "written_by", own(c, i->path));
	if (i->state == VCR_ROLLBACK_FOREIGN)
		write_who(&w, "changed_by", other(c, i->path));
	write_holders(c, &w, (size_t)(i - c->plan->item));
	vcr_jw_object_end(&w);
	printf("%s\n", out.data);
}

void vcr_rollback_tell_item(struct vcr_rollback_call *c, const struct vcr_rollback_item *i)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT, more = VCR_BUF_INIT;
	const struct vcr_tool *t = c->t;
	bool good = vcr_rollback_does(c, i);
	if (i->state == VCR_ROLLBACK_DONE)
		return;
	if (t->json) {
		item_json(c, i, good ? "do" : state_name(i->state));
		return;
	}
	vcr_safe(&path, i->path, strlen(i->path), 0);
	if (good && (c->dry_run || t->verbose))
		say_detail(c, i, &more);
	if (i->state != VCR_ROLLBACK_DO) {
		vcr_buf_puts(&more, more.len ? "; " : "");
		say_why(c, i, &more);
	}
	const char *word = good ? action_of(i) : state_name(i->state);
	enum vcr_style style = !good ? VCR_RED : strcmp(word, "remove") ? VCR_GREEN : VCR_YELLOW;
	printf("%s%-8s%s %s", vcr_on(t, style), word, vcr_on(t, VCR_PLAIN), path.data);
	printf("%s%s%s\n", more.len ? "  (" : "", more.data, more.len ? ")" : "");
}

/* ---- The end ---- */

void vcr_rollback_tell_times(const struct vcr_rollback_call *c)
{
	size_t n = 0;
	if (!c->plan->times || c->t->json || c->t->quiet)
		return;
	for (size_t i = 0; i < c->plan->n; i++) {
		VCR_AUTO_BUF path = VCR_BUF_INIT;
		const struct vcr_rollback_item *it = &c->plan->item[i];
		if (it->timed || !is_timeable(it) || !vcr_rollback_does(c, it))
			continue;
		vcr_safe(&path, it->path, strlen(it->path), 0);
		if (n++ < MAX_UNTIMED)
			vcr_say(c->t, "%s: its modification time then is not known, %s", path.data, c->dry_run ? "it will have a new one" : "it has a new one");
	}
	if (n > MAX_UNTIMED)
		vcr_say(c->t, "and so it is with %zu more files", n - MAX_UNTIMED);
}

static void end_json(const struct vcr_rollback_call *c, size_t changed, const char *target)
{
	const struct vcr_rollback *p = c->plan;
	const struct { const char *key; size_t n; } counts[] = { { "changed", changed }, { "foreign", p->count[VCR_ROLLBACK_FOREIGN] }, { "lost", p->count[VCR_ROLLBACK_LOST] },
		{ "left", p->count[VCR_ROLLBACK_LEFT] } };
	VCR_AUTO_BUF out = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "session");
	vcr_jw_str(&w, c->session);
	vcr_jw_key(&w, "target");
	vcr_jw_str(&w, target);
	vcr_jw_key(&w, "dry_run");
	vcr_jw_bool(&w, c->dry_run);
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		vcr_jw_key(&w, counts[i].key);
		vcr_jw_int(&w, (int64_t)counts[i].n);
	}
	vcr_jw_object_end(&w);
	printf("%s\n", out.data);
}

/* ": 2 to create, 1 to restore" */
static void count_actions(const struct vcr_rollback_call *c, struct vcr_buf *out)
{
	static const char *const actions[] = { "create", "restore", "replace", "remove", "mode", "xattrs" };
	const char *before = ": ";
	for (int k = 0; k < 6; k++) {
		size_t n = 0;
		for (size_t i = 0; i < c->plan->n; i++)
			n += vcr_rollback_does(c, &c->plan->item[i]) && !strcmp(action_of(&c->plan->item[i]), actions[k]);
		if (n) {
			vcr_buf_printf(out, "%s%zu to %s", before, n, k == 4 ? "change in mode" : k == 5 ? "change in extended attributes" : actions[k]);
			before = ", ";
		}
	}
}

void vcr_rollback_tell_end(const struct vcr_rollback_call *c, size_t changed, const char *target)
{
	VCR_AUTO_BUF actions = VCR_BUF_INIT;
	if (c->t->json) {
		end_json(c, changed, target);
	} else if (!c->t->quiet && !changed) {
		printf("%s already: nothing %s\n", target, c->dry_run ? "would change" : "changed");
	} else if (!c->t->quiet) {
		if (c->dry_run)
			count_actions(c, &actions);
		printf("%zu path%s %s %s%s\n", changed, changed == 1 ? "" : "s", c->dry_run ? "would be put back to" : "put back to", target,
			c->dry_run ? actions.data : "; vcr-rollback --undo takes it back");
	}
}

void vcr_rollback_forget(struct vcr_rollback_call *c)
{
	vcr_who_release(&c->own);
	vcr_who_release(&c->others);
}
