---@meta weir.native.checkpoint
-- luacheck: ignore 212 241

--- The store: journals of runs, rows, key-value spaces and blobs in one LMDB environment behind a writer thread.
--- What is written is on disk when the call returns. Reads do not wait.
local M = {}

--- The version of LMDB, such as "0.9.24".
---@type string
M.lmdb = nil

---@class weir.Store
local Store = {}

---@class weir.StoreJournal the right of one owner to append to one run
local Journal = {}

---@class weir.StoreOptions
---@field force boolean|nil        open on an unfit file system, or though damage was found
---@field map_bytes integer|nil    address space at first, default 64 GiB; grows by itself
---@field log_bytes integer|nil    the log is cut above this, default 64 MiB
---@field log_entries integer|nil  or above this, default 1,000,000
---@field sync_delay_s number|nil  for tests: what each commit waits before it syncs

--- Opens the store of a folder (made if missing), or a private one for ":memory:". Blocks for as long as the disk.
---@param path string
---@param options weir.StoreOptions|nil
---@return weir.Store|nil
---@return string|nil message
---@return string|nil code `invalid` (no store, newer format, file system), `conflict` (another process has it),
---  `denied`, `full`, `corrupt`, `unavailable`
function M.open(path, options) end

--- Writes plain data as MessagePack, one encoding for one value. Does not wait.
---@param value any
---@return string|nil bytes
---@return string|nil message
---@return string|nil code `invalid`, `limit`
function M.encode(value) end

--- Reads what `encode` wrote. Does not wait.
---@param bytes string
---@return any value
---@return string|nil message
---@return string|nil code `corrupt`, `limit`
function M.decode(bytes) end

-- The store as a whole

---@return string
function Store:path() end

--- Counts since the store was opened, sizes in bytes, times in seconds; `failure` once it has failed for good.
---@return table
function Store:stats() end

--- The number (LSN) of the latest record that is committed: no record that is committed later has a lower one. Numbers
--- of entries and versions of keys come from this one counter. Does not wait.
---@return integer
function Store:lsn() end

--- Waits until all that was queued before is committed.
---@return true|nil
---@return string|nil message
---@return string|nil code
function Store:sync() end

--- Closes it when the queue is empty. Safe twice. Waits.
function Store:close() end

--- Reads every record.
---@return table<string, integer>|nil counts records by table
---@return string[]|string damaged one text for each damage; or the message
---@return string|nil code
function Store:verify() end

--- Copies the store as it is at one moment, without unused space, into a new folder, which is there once it is whole
--- and can be opened as a store. The store goes on meanwhile; the copy is of the moment when it began, and holds back the
--- space that is freed until it ends. Waits; a thread of its own does the work, and stops when the task is cancelled.
---@param path string a folder that does not exist yet, in one that does
---@param options { timeout: number?, delay_s: number? }|nil timeout: seconds, default 300; delay_s: for tests
---@return integer|nil bytes
---@return string|nil message
---@return string|nil code `conflict` (it exists), `not_found` (its parent does not), `timeout`, `full`, `denied`,
---  `unavailable` (the store had to grow meanwhile, or has failed)
function Store:backup(path, options) end

--- Removes blobs to which nobody refers. What refers to one: a large element of an entry that was moved there, and the
--- 64 hexadecimal digits of its hash, in lower case and not within more digits, in any text of a row, in a value or in a
--- key of a space. Digits in an entry do not. A blob may be referred to as late as `seconds_young` after it was put; one
--- that is put again is young again, to ten minutes. Waits; a thread of its own does the work, beside all else, and stops
--- when the task is cancelled.
---@param seconds_young number|nil younger blobs are spared, default 3600
---@param budget integer|nil blobs to look at, 1..1000000, default 100000; the next sweep goes on from there
---@return { looked: integer, removed: integer, bytes: integer, done: boolean }|nil counts done: it came to the last blob
---@return string|nil message
---@return string|nil code `conflict` (another sweep is under way), `corrupt` (what is damaged may refer to any blob),
---  `full`, `limit`, `unavailable`
function Store:sweep(seconds_young, budget) end

--- Makes the index of statuses and the sums of the tables anew from the records: for a store whose summary is damaged,
--- opened with `force`. A damaged row is removed if its journal is sound, so that it can be made again; what else is
--- damaged stays as it is. Commits wait until it is done. Waits.
---@return table<string, integer>|nil counts records by table, and `damaged`
---@return string|nil message
---@return string|nil code `corrupt` (a table is unreadable), `full`, `unavailable`
function Store:rebuild() end

-- Runs

--- Takes a run over: an older epoch is refused from now on. Waits.
---@param run_id string 1 to 128 bytes, none of them zero
---@param epoch integer from 0
---@return weir.StoreJournal|nil
---@return integer|string n of the latest entry; or the message
---@return string|nil code `conflict`
function Store:run(run_id, epoch) end

--- The journal of a run that nobody has begun: its first entry makes it known. Does not wait.
---@param run_id string 1 to 128 bytes, none of them zero
---@param epoch integer
---@return weir.StoreJournal
function Store:new_run(run_id, epoch) end

--- All entries of a run, and its row (nil when it has none).
---@param run_id string
---@return table[]|nil entries
---@return table|string|nil row or the message
---@return string|nil code `not_found`, `corrupt`, `unavailable`
function Store:load(run_id) end

--- Some entries of a run.
---@param run_id string
---@param after_n integer|nil default 0
---@param limit integer|nil 1..10000, default 1000
---@return table[]|nil entries
---@return integer|string n of the last one; or the message
---@return string|nil code `not_found`, `corrupt`, `unavailable`
function Store:entries(run_id, after_n, limit) end

---@param run_id string
---@return table|nil row
---@return string|nil message
---@return string|nil code `not_found`, `corrupt`, `unavailable`
function Store:row(run_id) end

--- Runs in order of their ids, which is that of their start.
---@param query { status: string?, with: { [1]: string, [2]: string }?, after: string?, limit: integer?, reverse: boolean?,
---  damaged: boolean? }|nil limit: 1..1000, default 100; damaged: a run whose row is damaged is listed too, and says so instead
---  of being refused; with: only rows in which a field and its text stand, wherever that may be. So many rows are then looked
---  at in one call; where there may be more, the last of the list is the run after which to go on, with `rest`
---@return { id: string, row: table|nil, damaged: true|nil, rest: true|nil }[]|nil
---@return string|nil message
---@return string|nil code `corrupt`, `unavailable`
function Store:runs(query) end

--- Ids of all journals that have entries, in order: runs, with a row or without, and journals that are no runs.
---@param query { after: string?, limit: integer? }|nil limit: 1..1000, default 100
---@return string[]|nil
---@return string|nil message
---@return string|nil code `corrupt`, `limit`, `unavailable`
function Store:journals(query) end

--- Appends an entry. Waits until it is on disk.
---@param entry any[] plain data
---@param row table|nil the run's new row, with its `status`
---@param ended boolean|nil the run has ended
---@param token integer|nil of a note that this entry makes needless, if it is not written yet
---@return integer|nil n
---@return string|nil message
---@return string|nil code `conflict` (a newer epoch), `full`, `invalid`, `limit`, `unavailable`
function Journal:append(entry, row, ended, token) end

--- Appends an entry without waiting.
---@param entry any[] plain data
---@return integer|nil token
---@return string|nil message
---@return string|nil code `invalid`, `limit`
function Journal:note(entry) end

--- As `append`, of the list of the arguments. Waits until it is on disk.
---@param token integer|nil of a note that this entry makes needless
---@param ... any the elements of the entry
---@return integer|nil n
---@return string|nil message
---@return string|nil code as `append`
function Journal:append_of(token, ...) end

--- As `note`, of the list of the arguments.
---@param ... any the elements of the entry
---@return integer|nil token
---@return string|nil message
---@return string|nil code `invalid`, `limit`
function Journal:note_of(...) end

---@return string run_id
function Journal:id() end

---@return integer
function Journal:epoch() end

-- Key-value spaces, blobs, batches

--- Puts a value under a key. Waits until it is on disk.
---@param space string 1 to 64 characters from '!' to '~'
---@param key string at most 65536 bytes
---@param value any plain data, not nil
---@return integer|nil version
---@return string|nil message
---@return string|nil code `full`, `invalid`, `limit`, `unavailable`
function Store:put(space, key, value) end

--- Puts a value if the key has this version, 0 for none. Waits until it is on disk.
---@param space string
---@param key string
---@param version integer
---@param value any
---@return integer|nil version
---@return string|nil message
---@return string|nil code `conflict`, and as `put`
function Store:cas(space, key, version, value) end

--- Removes a key, if given only in this version. Waits until it is on disk.
---@param space string
---@param key string
---@param version integer|nil
---@return boolean|nil was_there
---@return string|nil message
---@return string|nil code `conflict`, `unavailable`
function Store:delete(space, key, version) end

---@param space string
---@param key string
---@return any value
---@return integer|string version or the message
---@return string|nil code `not_found`, `corrupt`, `unavailable`
function Store:get(space, key) end

--- Keys in order of their bytes; only keys of more than 400 bytes that agree in those come in any order among themselves.
---@param space string
---@param query { prefix: string?, from: string?, after: string?, to: string?, before: string?, behind: string?, limit: integer?,
---  reverse: boolean?, damaged: boolean? }|nil behind: the last key of the page before, behind which to go on in the order of
---  this scan, whether it is still there or not: so no key is left out or comes twice, however long keys are; damaged: a key
---  of at most 400 bytes whose record is damaged is listed too, and says so instead of being refused
---@return { key: string, value: any, version: integer, damaged: true|nil }[]|nil
---@return string|nil message
---@return string|nil code `corrupt`, `unavailable`
function Store:scan(space, query) end

--- Keeps bytes under their SHA-256. Waits until they are on disk.
---@param bytes string at most 16 MiB
---@return string|nil hash 64 hexadecimal digits
---@return string|nil message
---@return string|nil code `full`, `unavailable`
function Store:put_blob(bytes) end

---@param hash string 64 hexadecimal digits in lower case
---@return string|nil bytes
---@return string|nil message
---@return string|nil code `not_found`, `corrupt`, `unavailable`
function Store:get_blob(hash) end

--- Does several operations in one transaction, all or none. Waits until they are on disk. Each is a table with
--- `op`: put {space, key, value}, cas {space, key, version, value}, delete {space, key, version?},
--- entry {journal, entry, row?, ended?, park?}, row {journal, row, park?}, blob {bytes},
--- forget {run, ended?, rowless?}, add {space, key, by, max?}.
--- `row` replaces the run's row without an entry. `park` (boolean) keeps nothing of the run in memory: it may be opened
--- and appended to again, and an older epoch is refused as before.
--- `forget` removes the journal and the row of the run with this id. Its row must say that it has ended, by a status of
--- the list `ended` (default finished, failed, cancelled), and nobody may have taken it over since: else `conflict`.
--- `not_found` when it has no row. With `rowless` it removes a journal that is no run: `conflict` when it has a row,
--- `not_found` when it has no entries. The result is the number of entries. What is left of blobs is for `sweep`.
--- `add` adds the integer `by` to the integer under the key, 0 when there is none, whatever its version: so many may count
--- in one place without meeting in a conflict. A sum above `max` is refused with `full`. Its result is the sum. It may
--- stand several times for one key in one batch.
--- When the disk is full, a batch with an entry that ends a run, or with a `forget`, may use the space kept back.
---@param operations table[] 1 to 10000
---@return any[]|nil results version, 1 or 0 for whether a key was there, n, hash, sum
---@return string|nil message
---@return string|nil code as the operations
---@return integer|nil position of the one that was refused
function Store:batch(operations) end

return M
