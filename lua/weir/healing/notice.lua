--- Calls people over incidents that are theirs: an event `weir.incident.escalated`, in one transaction with the incident. It goes
--- where published events go: to the address of the setting `events`, and to pipelines that are started by it. An incident of a run
--- that such an event has started gives none, so that what tells people never tells of itself.

local clock = require "weir.port.clock"
local hops = require "weir.event.hops"
local outbox = require "weir.outbox"
local view = require "weir.view.incident"

local M = {}

M.TYPE = "weir.incident.escalated"

--- Adds the operations that publish an incident, if it is for people.
---@param store weir.Store
---@param operations table[]
---@param incident weir.Incident
---@param cause weir.Event|nil that has started its run
---@return fun() written to be called once they are
function M.add(store, operations, incident, cause)
  local is_told = incident.state == "escalated" and not (cause and tostring(cause.type):find "^weir%.incident%.")
  if not is_told then return function() end end
  local queue = outbox.queue(store)
  local event = { [hops.NAME] = hops.next(cause), specversion = "1.0", id = incident.id, source = "/incidents", type = M.TYPE,
    subject = incident.pipeline, time = clock.rfc3339(incident.at_ms), datacontenttype = "application/json",
    data = view.shape(incident) }
  local list = queue:enqueue_operations(event, { key = incident.run or incident.id })
  table.move(list, 1, #list, #operations + 1, operations)
  return function() queue:committed() end
end

return M
