/* SPDX-License-Identifier: MIT */
/* The tree that an applied one starts from: read once to merge the manifests, and once more for the changed files. */
#include <errno.h>

#include "store/apply_internal.h"

int ay__apply_open_old(struct ay__apply *ap, struct ay__fd_reader *in, struct ay_manifest_reader **m,
		       struct ay_err *err)
{
	*m = NULL;
	*in = (struct ay__fd_reader){.fd = -1};
	if (ap->from_serial == 0)
		return 0;
	int r = ay_store_manifest(ap->b.s, ap->b.branch, ap->from_serial, &in->fd, err);
	if (r == 0 && !(*m = ay_manifest_reader_new(ay__fd_read, in)))
		r = ay_err_errno(err, ENOMEM, "read manifest");
	return r;
}
