"""Writes workflows as ComfyUI's editor saves them."""

from __future__ import annotations


class Editor:
    """Writes the editor's format."""

    def __init__(self):
        self.nodes, self.links = [], []

    def node(self, node_id, kind, values=None, inputs=(), outputs=(), **more):
        """inputs, outputs: "name:TYPE", a widget's slot "name:TYPE*"."""
        slots = []
        for text in inputs:
            name, kind_of = text.rstrip("*").split(":")
            slot = {"name": name, "type": kind_of, "link": None}
            slots.append(slot | ({"widget": {"name": name}} if text.endswith("*") else {}))
        out = [{"name": o.split(":")[0], "type": o.split(":")[1], "links": []} for o in outputs]
        node = {"id": node_id, "type": kind, "inputs": slots, "outputs": out, "mode": 0} | more
        self.nodes.append(node if values is None else node | {"widgets_values": values})
        return self

    def link(self, source, slot, target, name):
        node = next((n for n in self.nodes if n["id"] == target), None)
        names = [one["name"] for one in node["inputs"]] if node else [name]
        number = len(self.links) + 1
        self.links.append([number, source, slot, target, names.index(name), "*"])
        if node:
            node["inputs"][names.index(name)]["link"] = number
        return self

    def document(self, **more):
        return {"nodes": self.nodes, "links": self.links, "version": 0.4} | more
