#include "txn-isolate.h"
#include <string.h>

int vcr_isolated_begin(const struct vcr_tool *tool, const char *state_dir, const char *workspace, struct vcr_txn *t, struct vcr_error *e)
{
	VCR_AUTO_BUF skipped = VCR_BUF_INIT;
	int err = vcr_isolate_plan(state_dir, workspace, t, e);
	if (err || (err = vcr_txn_open(state_dir, t, e)))
		return err;
	if ((err = vcr_isolate_make(state_dir, t, &skipped, e))) {
		vcr_isolate_remove(state_dir, t, NULL);
		return err;
	}
	if (!tool->quiet)
		for (char *p = skipped.data; *p; p += strcspn(p, "\n") + 1) {
			VCR_AUTO_BUF name = VCR_BUF_INIT;
			vcr_safe(&name, p, strcspn(p, "\n"), 0);
			vcr_say(tool, "not in the tree: %s", name.data);
		}
	return 0;
}

bool vcr_isolated_pending(const char *state_dir)
{
	VCR_AUTO_BUF names = VCR_BUF_INIT;
	bool pending = false;
	if (vcr_txn_list(state_dir, &names, NULL))
		return false;
	for (char *p = names.data, *next; *p && !pending; p = next) {
		struct vcr_txn t;
		next = p + strcspn(p, "\n");
		*next++ = 0;
		pending = !vcr_txn_find(state_dir, p, &t, NULL) && *t.to;
	}
	return pending;
}
