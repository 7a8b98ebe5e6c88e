/*
 * board.c
 *		What the calls of a worker show of themselves in shared memory.
 */
#include "board.h"

void
sluice_board_init(SluiceBoard *board, SluiceConnectionSlot *slots)
{
	TAILQ_INIT(&board->changed);
	board->slots = slots;
	board->due_at = 0;
	board->nfree = slots != NULL ? SLUICE_CONNECTIONS : 0;
	for (size_t i = 0; i < board->nfree; i++)
		board->free[i] = (uint16_t) (SLUICE_CONNECTIONS - 1 - i);
}

/*
 * As much of a text as there is room for, cut off between characters.  That it is
 * valid is the reader's to see; control characters would be a nuisance there.
 */
static void
put_text(char out[SLUICE_CONNECTION_TEXT], const char *text, size_t length)
{
	if (length > SLUICE_CONNECTION_TEXT - 1)
	{
		length = SLUICE_CONNECTION_TEXT - 1;
		while (length > 0 && ((uint8_t) text[length] & 0xC0) == 0x80)
			length--;
	}
	memset(out, 0, SLUICE_CONNECTION_TEXT);
	for (size_t i = 0; i < length; i++)
		out[i] = (uint8_t) text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
}

static void
show(SluiceNotice *notice)
{
	SluiceConnection *connection = &notice->connection;

	if (notice->slot == NULL)
		return;
	/* Before its stream is known, what the call has in flight is the question for it. */
	if (connection->stream_id != 0)
	{
		connection->records = notice->usage->records;
		connection->bytes = notice->usage->bytes;
	}
	sluice_connection_write(notice->slot, connection);
}

void
sluice_board_take(SluiceBoard *board, SluiceNotice *notice, SluiceConnectionMethod method,
				  const char *address, const SluiceUsage *usage, int64_t now)
{
	memset(notice, 0, sizeof(*notice));
	notice->board = board;
	notice->usage = usage;
	notice->connection.method = method;
	notice->connection.connected_at = now;
	put_text(notice->connection.address, address, strlen(address));
	if (board->nfree == 0)
		return;
	notice->slot = &board->slots[board->free[--board->nfree]];
	show(notice);
}

void
sluice_board_opened(SluiceNotice *notice, int32_t stream_id, const uint8_t *producer,
					const char *client, size_t client_length)
{
	SluiceConnection *connection = &notice->connection;

	connection->stream_id = stream_id;
	connection->has_producer = producer != NULL;
	if (producer != NULL)
		memcpy(connection->producer, producer, sizeof(connection->producer));
	if (client != NULL)
		put_text(connection->client, client, client_length);
	show(notice);
}

void
sluice_board_report(SluiceNotice *notice, uint64_t records, uint64_t bytes,
					uint64_t oldest_age, int64_t clock, int64_t now)
{
	SluiceConnection *connection = &notice->connection;

	connection->reported_at = now;
	connection->last_message_at = now;
	connection->buffered_records = records;
	connection->buffered_bytes = bytes;
	connection->oldest_age = oldest_age;
	/* A clock may say anything. */
	if (__builtin_sub_overflow(clock, now, &connection->clock_offset))
		connection->clock_offset = clock < 0 ? INT64_MIN : INT64_MAX;
	show(notice);
}

void
sluice_board_give(SluiceNotice *notice)
{
	static const SluiceConnection none;
	SluiceBoard *board = notice->board;

	if (board == NULL)
		return;
	if (notice->changed)
		TAILQ_REMOVE(&board->changed, notice, changed_link);
	if (notice->slot != NULL)
	{
		sluice_connection_write(notice->slot, &none);
		board->free[board->nfree++] = (uint16_t) (notice->slot - board->slots);
	}
	memset(notice, 0, sizeof(*notice));
}

int64_t
sluice_board_show(SluiceBoard *board, int64_t turn_at)
{
	SluiceNotice *notice;

	if (TAILQ_EMPTY(&board->changed))
		return -1;
	if (turn_at < board->due_at)
		return board->due_at - turn_at;
	board->due_at = turn_at + SLUICE_BOARD_INTERVAL;
	while ((notice = TAILQ_FIRST(&board->changed)) != NULL)
	{
		TAILQ_REMOVE(&board->changed, notice, changed_link);
		notice->changed = false;
		show(notice);
	}
	return -1;
}
