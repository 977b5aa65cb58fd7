-- Teaches tshark GUE (draft-ietf-intarea-gue), of which it has no dissector: the IP protocol that a data message carries, or
-- the version of the IP header that is one itself.
local gue = Proto("gue", "Generic UDP Encapsulation")
local variant = ProtoField.uint8("gue.variant", "Variant", base.DEC, nil, 0xc0)
local control = ProtoField.bool("gue.control", "Control", 8, nil, 0x20)
local length = ProtoField.uint8("gue.hlen", "Options length", base.DEC, nil, 0x1f)
local protocol = ProtoField.uint8("gue.proto", "Protocol")
local flags = ProtoField.uint16("gue.flags", "Flags", base.HEX)
local unknown = ProtoExpert.new("gue.unknown", "Not a data message", expert.group.MALFORMED, expert.severity.ERROR)
gue.fields = { variant, control, length, protocol, flags }
gue.experts = { unknown }

local protocols = DissectorTable.get("ip.proto")

function gue.dissector(buffer, pinfo, tree)
  local first = buffer(0, 1):uint()
  if first >= 0x40 then
    tree:add(gue, buffer(0, 0)):add(variant, buffer(0, 1))
    protocols:get_dissector(first < 0x60 and 4 or 41):call(buffer, pinfo, tree)
    return
  end
  local len = 4 + 4 * (first % 0x20)
  local header = tree:add(gue, buffer(0, len))
  header:add(variant, buffer(0, 1))
  header:add(control, buffer(0, 1))
  header:add(length, buffer(0, 1))
  header:add(protocol, buffer(1, 1))
  header:add(flags, buffer(2, 2))
  local carried = protocols:get_dissector(buffer(1, 1):uint())
  if first >= 0x20 or not carried then
    header:add_proto_expert_info(unknown)
  else
    carried:call(buffer(len):tvb(), pinfo, tree)
  end
end

DissectorTable.get("udp.port"):add(6080, gue)
