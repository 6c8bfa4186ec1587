"""The scope ``mmseg_ssl``, which is mmseg's under another name.

Our classes are registered in mmseg's own registries, and configs say
``default_scope = 'mmseg'``. Inferencers of mmengine look the name of a model
up in the package that is called as their scope, and then build in this scope;
so here is an empty child of each of mmseg's registries. mmengine imports this
module by its name when a scope ``mmseg_ssl`` is asked for.
"""
from mmengine.registry import Registry
from mmseg import registry as parents

SCOPE = 'mmseg_ssl'

for _parent in vars(parents).values():
    if isinstance(_parent, Registry):
        # a child that finds a name in its parent does not import what the
        # parent would, and thus has to do it
        Registry(_parent.name, parent=_parent, scope=SCOPE,
                 locations=_parent._locations)
