--- Files of a folder: made, changed, removed, renamed. What the system tells is only a hint of where to look; what a file is
--- is told by device, inode, size, time and content, so each is given once, whatever the system tells how often. A file is
--- left alone until it has been still for a while. Where the system may have dropped something, and now and then, all is
--- looked at again; a folder that vanishes is waited for, and what was in it is not taken for removed.

local duration = require "weir.duration"
local glob = require "weir.port.glob"
local port = require "weir.port.watch"
local task = require "weir.task"

local M = {
  kind = "watcher", name = "files", api = 1,
  doc = "Files of a folder: made, changed, removed, renamed",
  options = {
    path = "string",                                     -- a folder; below the project's, if it is no whole path
    glob = "string = *",                                 -- names, such as "*.md" or "**/*.{md,txt}"
    recursive = { type = "boolean", default = false },   -- folders in it, too
    settle = "any = 500ms",                              -- how long a file has to be still
    events = { type = "array", items = { enum = { "create", "modify", "delete", "rename" } }, minItems = 1,
      default = { "create", "modify" } },
    existing = { type = "boolean", default = true },     -- what is there at first counts as made
    rescan = "any = 10m",                                -- how often all is looked at, whatever the system told
  },
}

local HASHED = 16 << 20 -- bytes; a larger file is told from another by its size and time
local LOOK = 1          -- seconds between two looks at whether the folder is still there
local RETURN = 5        -- seconds that files of a folder which has come back have to come back, too
local TOGETHER = 100    -- events given at once
local READERS = 8       -- files read side by side
local BURST = 0.02      -- seconds from the first change until it is looked at, since more come with it
local DEPTH = 16

local function join(folder, name) return folder == "" and name or folder .. "/" .. name end

local function wake(self)
  if self.waiter then self.waiter:wake() end
end

local function note(self, relative)
  self.dirty[relative] = true
  self.noted = self.noted + 1
  wake(self)
end

-- Folders ----------------------------------------------------------------------------------------------

local function watch_folder(self, folder)
  if self.watches[folder] then return end
  local watch, message, code = port.folder(join(self.base, folder):gsub("/$", ""), function(name)
    if name then note(self, join(folder, name)) else self.is_stale = true wake(self) end
  end)
  if watch then
    self.watches[folder] = watch
  elseif code ~= "not_found" and code ~= "invalid" then
    error({ code = code, message = "watching " .. message }, 0)
  end
end

local function close_watches(self)
  for folder, watch in pairs(self.watches) do
    watch:close()
    self.watches[folder] = nil
  end
end

-- All files below a folder, which is watched before it is looked at.
local function scan(self, folder, found, depth)
  watch_folder(self, folder)
  for _, entry in ipairs(port.entries(join(self.base, folder):gsub("/$", ""))) do
    local relative = join(folder, entry.name)
    if entry.kind == "file" then
      if self.matches(relative) then found[relative] = true end
    elseif self.options.recursive and depth < DEPTH then
      scan(self, relative, found, depth + 1)
    end
  end
  return found
end

-- What changes -------------------------------------------------------------------------------------------

local function is_same(a, b)
  return a ~= nil and b ~= nil and a.dev == b.dev and a.ino == b.ino and a.size == b.size and a.mtime_ns == b.mtime_ns
end

-- A file that is seen as it was left is not looked at further.
local function pend(self, relative, patience)
  local identity = port.identity(join(self.base, relative))
  local mark = self.marks:get(relative)
  if identity and is_same(identity, mark) or not identity and not mark then
    self.pending[relative] = nil
    return
  end
  self.pending[relative] = { due = task.now() + math.max(self.settle, patience or 0), identity = identity }
end

local function pend_below(self, folder, patience)
  for relative in self.marks:each(folder == "" and "" or folder .. "/") do pend(self, relative, patience) end
end

local function look_at(self, relative)
  local _, kind = port.identity(join(self.base, relative))
  if kind == "folder" then
    if not self.options.recursive then return end
    if self.watches[relative] then -- another one may stand in its place
      self.watches[relative]:close()
      self.watches[relative] = nil
    end
    for found in pairs(scan(self, relative, {}, 1)) do pend(self, found) end
    pend_below(self, relative)
  else
    if self.matches(relative) then pend(self, relative) end
    if self.options.recursive and not kind then pend_below(self, relative) end
  end
end

local function rescan(self, patience)
  self.is_stale, self.rescanned, self.dirty = false, task.now(), {}
  close_watches(self)
  local found = scan(self, "", {}, 1)
  for relative in pairs(found) do pend(self, relative) end
  for relative in self.marks:each() do
    if not found[relative] then pend(self, relative, patience) end
  end
  self.noted, self.told = 0, port.told()
  self.not_before = task.now() + math.min(LOOK, 2 * (task.now() - self.rescanned))
end

-- Events -------------------------------------------------------------------------------------------------

local function event_of(self, kind, relative, identity, from)
  local text = ("%s %s %d %d %d"):format(kind, relative, identity.ino, identity.mtime_ns, identity.size)
  return { id = text, type = "file." .. kind, subject = relative, data = { path = self.options.path:gsub("/$", "") .. "/" .. relative,
    name = relative:match "[^/]*$", folder = self.options.path, size = identity.size, modified = identity.mtime_ns / 1e9,
    hash = identity.hash, from = from } }
end

local ASKED = { created = "create", modified = "modify", deleted = "delete", renamed = "rename" }

local function add(self, batch, kind, relative, identity, from)
  if self.asked[ASKED[kind]] then batch.events[#batch.events + 1] = event_of(self, kind, relative, identity, from) end
end

-- What was there and is not, by what it was: a file that is there now may be it.
local function gone_of(self, due)
  local gone = {}
  for _, relative in ipairs(due) do
    local mark = not self.pending[relative].identity and self.marks:get(relative)
    if mark then gone[("%d/%d"):format(mark.dev, mark.ino)] = { relative = relative, mark = mark } end
  end
  return gone
end

-- What is due and as it was, with its identity and its content's hash; what is written still is due another time.
local function read_due(self, due, from, to)
  local list, at = {}, from - 1
  local function reader()
    while at < to do
      at = at + 1
      local relative = due[at]
      local one = self.pending[relative]
      local identity = one and one.identity and port.identity(join(self.base, relative))
      if identity and is_same(identity, one.identity) then
        list[#list + 1] = { relative = relative, identity = identity }
        identity.hash = port.digest(join(self.base, relative), HASHED)
      elseif one and one.identity then
        pend(self, relative)
      end
    end
  end
  local readers = {}
  for index = 1, math.min(READERS, to - from + 1) do readers[index] = task.spawn(reader) end
  for _, one in ipairs(readers) do assert(one:join()) end
  return list
end

local function settle_file(self, batch, relative, identity, gone)
  local mark = self.marks:get(relative)
  local now = port.identity(join(self.base, relative))
  if not is_same(now, identity) then return pend(self, relative) end -- it has changed while it was read
  self.pending[relative] = nil
  self.marks:set(relative, identity)
  local id = ("%d/%d"):format(identity.dev, identity.ino)
  local from = not mark and gone[id]
  if from and from.mark.size == identity.size and from.mark.hash == identity.hash then
    gone[id] = nil
    self.marks:set(from.relative, nil)
    self.pending[from.relative] = nil
    return add(self, batch, "renamed", relative, identity, from.relative)
  end
  if not mark then return add(self, batch, "created", relative, identity) end
  if not mark.hash or mark.hash ~= identity.hash or mark.size ~= identity.size then add(self, batch, "modified", relative, identity) end
end

local function flush(self, batch)
  if #batch.events > 0 then self.sink(batch.events) else self.ctx:save() end
  batch.events = {}
end

local function due_now(self)
  local list, now, next_due = {}, task.now(), nil
  for relative, one in pairs(self.pending) do
    if one.due <= now then list[#list + 1] = relative
    elseif not next_due or one.due < next_due then next_due = one.due end
  end
  table.sort(list)
  return list, next_due
end

local function settle_due(self)
  local due = due_now(self)
  if #due == 0 then return end
  local gone, batch = gone_of(self, due), { events = {} }
  for from = 1, #due, TOGETHER do
    local list = read_due(self, due, from, math.min(#due, from + TOGETHER - 1))
    table.sort(list, function(a, b) return a.relative < b.relative end)
    for _, one in ipairs(list) do settle_file(self, batch, one.relative, one.identity, gone) end
    if #list > 0 then flush(self, batch) end
  end
  if not port.is_folder(self.base) then return flush(self, batch) end -- nothing is removed that cannot be looked at
  for _, one in pairs(gone) do
    if self.pending[one.relative] then
      self.pending[one.relative] = nil
      if port.identity(join(self.base, one.relative)) then pend(self, one.relative)
      else
        self.marks:set(one.relative, nil)
        add(self, batch, "deleted", one.relative, one.mark)
      end
    end
  end
  flush(self, batch)
end

-- What the system has told to others, too, may have filled its queue: ours could have been dropped.
-- Of many such moments in a row a part of the time goes into looking, not all of it.
local function is_to_rescan(self)
  self.is_stale = self.is_stale or math.max(self.noted, port.told() - self.told) >= self.overflow
    or task.now() - self.rescanned >= self.rescan
  return self.is_stale and task.now() >= self.not_before
end

local function await(self)
  if next(self.dirty) then return end
  local _, next_due = due_now(self)
  local left = math.min(LOOK, next_due and next_due - task.now() or LOOK, self.is_stale and self.not_before - task.now() or LOOK)
  if left <= 0 then return end
  self.waiter = task.waiter()
  local _, _, code = self.waiter:wait("a change of a file", left)
  self.waiter = nil
  if code ~= "timeout" then task.sleep(BURST) end
end

local function take_dirty(self)
  local dirty = self.dirty
  self.dirty, self.noted, self.told = {}, 0, port.told()
  for relative in pairs(dirty) do look_at(self, relative) end
end

-- As long as the folder is the one that it was.
local function follow(self, patience)
  local id = port.folder_id(self.base)
  rescan(self, patience)
  while port.folder_id(self.base) == id do
    if is_to_rescan(self) then rescan(self) else take_dirty(self) end
    settle_due(self)
    await(self)
  end
  close_watches(self)
  self.pending, self.dirty = {}, {}
end

local function await_folder(self)
  local has_gone = false
  while not port.is_folder(self.base) do
    self.ctx:status(("there is no folder '%s'; it is waited for"):format(self.options.path))
    has_gone = true
    self.ctx:sleep(LOOK)
  end
  self.ctx:status(nil)
  return has_gone
end

-- What is there already and does not count is only known from now on.
local function begin(self)
  if self.ctx.memory.has_begun then return end
  if not self.options.existing and port.is_folder(self.base) then
    for relative in pairs(scan(self, "", {}, 1)) do
      local path = join(self.base, relative)
      local identity = port.identity(path)
      if identity then
        identity.hash = port.digest(path, HASHED)
        self.marks:set(relative, identity)
      end
    end
    close_watches(self)
  end
  self.ctx.memory.has_begun = true
  self.ctx:save()
end

local function new(ctx, sink)
  local options, asked = ctx.options, {}
  for _, name in ipairs(options.events) do asked[name] = true end
  local path = options.path:gsub("(.)/+$", "%1")
  return { ctx = ctx, sink = sink, options = options, asked = asked, marks = ctx.marks, matches = assert(glob.compile(options.glob)),
    base = path:sub(1, 1) == "/" and path or path == "." and ctx.root or ctx.root .. "/" .. path,
    settle = assert(duration.parse(options.settle)), rescan = assert(duration.parse(options.rescan)),
    overflow = math.max(1, port.queue_size() // 4), watches = {}, dirty = {}, pending = {}, noted = 0, told = 0,
    rescanned = 0, not_before = 0 }
end

--- Gives an event `file.created`, `file.modified`, `file.deleted` or `file.renamed` for each change, once. Waits until the
--- source ends.
---@param ctx weir.WatcherContext  marks: the files that were given, by their paths
---@param sink fun(events: table[])
function M.watch(ctx, sink)
  local self = new(ctx, sink)
  local _ <close> = setmetatable({}, { __close = function() close_watches(self) end })
  begin(self)
  local patience
  while true do
    if await_folder(self) then patience = RETURN end
    follow(self, patience)
    patience = RETURN
  end
end

return M
