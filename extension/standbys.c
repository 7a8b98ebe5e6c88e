/*
 * standbys.c
 *		The wait for synchronous standbys, as a verdict needs it.
 */
#include "postgres.h"

#include "standbys.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/lwlock.h"

static int
sync_wait_mode(void)
{
	return synchronous_commit == SYNCHRONOUS_COMMIT_REMOTE_WRITE ? SYNC_REP_WAIT_WRITE :
		synchronous_commit == SYNCHRONOUS_COMMIT_REMOTE_APPLY ? SYNC_REP_WAIT_APPLY : SYNC_REP_WAIT_FLUSH;
}

static bool
standbys_have(XLogRecPtr lsn)
{
	bool		wanted;
	bool		have;

	LWLockAcquire(SyncRepLock, LW_SHARED);
	wanted = (WalSndCtl->sync_standbys_status & SYNC_STANDBY_INIT) != 0 ?
		(WalSndCtl->sync_standbys_status & SYNC_STANDBY_DEFINED) != 0 : (SyncRepStandbyNames != NULL && SyncRepStandbyNames[0] != '\0');
	have = !wanted || WalSndCtl->lsn[sync_wait_mode()] >= lsn;
	LWLockRelease(SyncRepLock);
	return have;
}

bool
sluice_standbys_confirm(XLogRecPtr lsn)
{
	if (!SyncRepRequested() || XLogRecPtrIsInvalid(lsn))
		return true;
	while (!standbys_have(lsn))
	{
		if (ProcDiePending)
			return false;
		HOLD_INTERRUPTS();
		SyncRepWaitForLSN(lsn, true);
		RESUME_INTERRUPTS();
	}
	return true;
}
