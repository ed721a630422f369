"""What all panels have in common: a live widget, and a still picture of it for pages without a kernel."""

import ipywidgets


class Panel(ipywidgets.VBox):
    """A box of controls; a subclass says in ``still`` what is seen where no widget can be shown."""

    def still(self) -> str:
        """HTML with the panel's picture and its alt text."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs):
        live = getattr(super(), "_repr_mimebundle_", None)  # ipywidgets 7, which Colab ships, shows widgets another way
        return {**(live(**kwargs) if live else {}), "text/html": self.still()}
