"""What all models have in common: options as scikit-learn's protocol has them."""

import inspect
from typing import Any


class Estimator:
    """Base class of the models. The arguments of ``__init__``, and of its bases, are options, kept under their names."""

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        """Return the options and their defaults: those of the class, then those of its bases."""
        found: dict[str, Any] = {}
        for base in cls.__mro__[:-1]:
            if "__init__" in vars(base):
                for name, parameter in inspect.signature(vars(base)["__init__"]).parameters.items():
                    if name != "self" and parameter.kind is not parameter.VAR_KEYWORD:
                        found.setdefault(name, parameter.default)
        return found

    @classmethod
    def _option_names(cls) -> list[str]:
        return list(cls._defaults())

    def _check_params(self) -> None:
        """Refuse options out of range."""
        raise NotImplementedError

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 - the protocol's
        """Return the options.

        Parameters
        ----------
        deep : bool, default True
            Part of scikit-learn's protocol; without effect here.

        Returns
        -------
        dict of str to object

        Examples
        --------
        >>> import seqrs
        >>> seqrs.LanguageModel("word", hidden_size=64).get_params()["hidden_size"]
        64
        """
        return {name: getattr(self, name) for name in self._option_names()}

    def set_params(self, **params: Any) -> "Estimator":
        """Change options; the next ``fit`` follows them.

        Parameters
        ----------
        **params
            Options by name.

        Returns
        -------
        Estimator
            This model.

        Raises
        ------
        ValueError, TypeError
            If there is no such option, or it does not allow the value. Nothing has changed then.

        Examples
        --------
        >>> import seqrs
        >>> seqrs.LanguageModel().set_params(cell="gru", num_layers=1)
        LanguageModel(cell='gru', num_layers=1)
        """
        unknown = params.keys() - set(self._option_names())
        if unknown:
            raise ValueError(
                f"{', '.join(sorted(unknown))}: expected options of {type(self).__name__}: "
                f"{', '.join(self._option_names())}"
            )
        before = self.get_params()
        vars(self).update(params)
        try:
            self._check_params()
        except (ValueError, TypeError):
            vars(self).update(before)
            raise
        return self

    def __repr__(self) -> str:
        defaults = self._defaults()
        changed = (
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if value is not defaults[name] and value != defaults[name]
        )
        return f"{type(self).__name__}({', '.join(changed)})"
