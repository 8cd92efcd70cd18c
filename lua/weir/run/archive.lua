--- The file that holds one run: records in a row, each with its SHA-256, and one of all at the end.
---
---     "weir run archive\n"   { u32 size   32 bytes SHA-256 of the record   record }...
---
--- Sizes are little endian; a record is one list in canonical MessagePack, its first element says what it is:
---     {"archive", format, run, weir, at_ms}    the first
---     {"row", row}                             what lists show of the run
---     {"kv", space, key, value}                what it pins, what it asked, what was sent to it
---     {"entry", entry}                         of its journal, in order
---     {"end", count, chain}                    the last: how many came before, and the hash of all: that of the hash
---                                              before and the record's own, begun with that of nothing
--- A file may say anything: nothing is allocated for a size that the file does not have.

local failure = require "weir.failure"
local hash = require "weir.native.hash"
local store_port = require "weir.port.store"

local M = {}

M.FORMAT = 1

local MAGIC = "weir run archive\n"
local FRAME = "<I4c32"
local FRAME_BYTES = 36
local RECORD_MAX = 256 << 20 -- bytes

-- Writing --------------------------------------------------------------------------------------------

---@class weir.ArchiveWriter
---@field count integer records so far
---@field bytes integer
---@field chain string  SHA-256 over all records, 32 bytes
local Writer = {}
Writer.__index = Writer

--- Begins an archive.
---@param write fun(bytes: string) gets it piece by piece
---@param run_id string
---@param at_ms integer
---@return weir.ArchiveWriter
function M.writer(write, run_id, at_ms)
  local self = setmetatable({ write = write, count = 0, bytes = #MAGIC, chain = hash.sha256("", "raw") }, Writer)
  write(MAGIC)
  self:put { "archive", M.FORMAT, run_id, require "weir.version", at_ms }
  return self
end

--- Writes a record. Raises `invalid`, `limit` when it is no plain data.
---@param record any[]
function Writer:put(record)
  local bytes, message, code = store_port.encode(record)
  if not bytes then failure.raise(code, "%s", message) end
  if #bytes > RECORD_MAX then failure.raise("limit", "a record of %d bytes; an archive holds %d", #bytes, RECORD_MAX) end
  local own = hash.sha256(bytes, "raw")
  self.write(FRAME:pack(#bytes, own))
  self.write(bytes)
  self.count, self.bytes = self.count + 1, self.bytes + FRAME_BYTES + #bytes
  self.chain = hash.sha256(self.chain .. own, "raw")
end

--- Ends the archive.
---@return string hash of all, 64 hexadecimal digits
function Writer:close()
  local chain = self.chain
  self:put { "end", self.count, chain }
  return (chain:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
end

-- Reading --------------------------------------------------------------------------------------------

local function corrupt(message, ...)
  failure.raise("corrupt", "it is damaged: " .. message, ...)
end

local function take(source, count, what)
  if count > source.left then corrupt("it ends inside %s", what) end
  local bytes = source.read(count)
  if not bytes or #bytes ~= count then corrupt("it ends inside %s", what) end
  source.left = source.left - count
  return bytes
end

local function read_record(source, number)
  local what = ("record %d"):format(number)
  local size, own = FRAME:unpack(take(source, FRAME_BYTES, what))
  if size > RECORD_MAX then corrupt("%s claims %d bytes", what, size) end
  local bytes = take(source, size, what)
  if hash.sha256(bytes, "raw") ~= own then corrupt("%s does not have its checksum", what) end
  local record, message = store_port.decode(bytes)
  if type(record) ~= "table" or type(record[1]) ~= "string" then corrupt("%s is no record%s", what, message and ": " .. message or "") end
  return record, own
end

local function check_first(record)
  if record[1] ~= "archive" or math.type(record[2]) ~= "integer" or type(record[3]) ~= "string" then
    corrupt "its first record does not say what it is"
  end
  if record[2] > M.FORMAT then
    failure.raise("invalid", "it was written by a newer weir (%s, archive format %d, this one reads %d)", tostring(record[4]), record[2],
      M.FORMAT)
  end
end

local function check_last(record, count, chain, left)
  if record[2] ~= count then corrupt("it says %s records and has %d", tostring(record[2]), count) end
  if record[3] ~= chain then corrupt "the checksum of the whole does not fit" end
  if left > 0 then corrupt("%d bytes follow its end", left) end
end

--- Reads an archive to its end, and checks all of it. May wait, as `read` does. Raises {code, message}: `corrupt`,
--- `invalid` (a newer format).
---@param source { read: (fun(count: integer): string|nil), size: integer } size: bytes that there are
---@param visit fun(record: any[], size: integer) gets each record but the last
---@return string run_id
function M.read(source, visit)
  local from = { read = source.read, left = source.size }
  if source.size < #MAGIC or take(from, #MAGIC, "its first line") ~= MAGIC then
    corrupt "it does not begin as an archive of a run does"
  end
  local chain, count, run_id = hash.sha256("", "raw"), 0, nil
  while true do
    local before = from.left
    local record, own = read_record(from, count + 1)
    if not run_id then
      check_first(record)
      run_id = record[3]
    end
    if record[1] == "end" then
      check_last(record, count, chain, from.left)
      return run_id
    end
    chain, count = hash.sha256(chain .. own, "raw"), count + 1
    visit(record, before - from.left)
  end
end

return M
